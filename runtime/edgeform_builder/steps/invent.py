"""`invent`: uniform random inputs for a model, where somebody insists on calibrating without data."""

import numpy as np

from edgeform_builder.job import Job, Result
from edgeform_builder.serving import opened
from edgeform_builder.tensors import write_tensors

SAMPLES = 100


def run(job: Job) -> Result:
    model = opened(job)
    rng = np.random.default_rng(job.seed)
    feeds = []
    for _ in range(SAMPLES):
        feed = {}
        for spec in model.session.inputs:
            shape = [max(1, extent) for extent in spec.shape]
            is_real = np.dtype(spec.dtype).kind == "f"
            values = rng.random(shape) if is_real else rng.integers(0, 2, shape)
            feed[spec.name] = values.astype(spec.dtype)
        feeds.append(feed)
    model.close()
    write_tensors(job.out, feeds, [None] * SAMPLES)
    return Result(figures={"samples": SAMPLES})
