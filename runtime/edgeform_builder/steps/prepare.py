"""`prepare`: a data set through the pipeline's own capture format and preprocessing, as tensors on disk.

Recipes calibrate with these, so that they never decode a picture in another way than the device does.
"""

import hashlib

import numpy as np

from edgeform_builder.job import Job, Refused, Result
from edgeform_builder.serving import opened, samples
from edgeform_builder.tensors import write_tensors

MOST_BYTES = 4 * 2**30


def run(job: Job) -> Result:
    model = opened(job)
    feeds, labels, digests, size = [], [], [], 0
    for sample, seen in samples(job, model):
        tensors = {name: np.array(array) for name, array in seen.feeds.items()}
        for name, array in tensors.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Refused(f"{sample['file']}: input {name!r} is not finite")
        size += sum(array.nbytes for array in tensors.values())
        if size > MOST_BYTES:
            raise Refused("the prepared samples take more than 4 GiB", "Take fewer samples.")
        feeds.append(tensors)
        labels.append(sample.get("label"))
        hasher = hashlib.sha256()
        for name in sorted(tensors):
            hasher.update(name.encode() + b"\0" + tensors[name].tobytes())
        digests.append(hasher.hexdigest())
    model.close()
    if not feeds:
        raise Refused("the data set is empty")
    constant = all((f[n] == feeds[0][n]).all() for f in feeds for n in f)
    if constant and len(feeds) > 1:
        raise Refused("all samples are one and the same input")
    try:
        write_tensors(job.out, feeds, labels)
    except ValueError as exc:
        raise Refused(
            f"{exc}; steps that calibrate take inputs of one size",
            "Add a resize, crop or window to the pipeline.",
        ) from exc
    return Result(figures={"samples": len(feeds), "digests": digests})
