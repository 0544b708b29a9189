"""A model with its pipeline's stages around it, exactly as the runtime on a device has them."""

from pathlib import Path
from typing import Any, Iterator, Mapping, Tuple

import numpy as np

from edgeform_builder.job import Job, Refused
from edgeform_builder.tensors import Array
from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.model import LoadedModel, load
from edgeform_runtime.stages.contract import Seen
from edgeform_wire.pipeline import PipelineFile

_NO_DIGEST = "sha256:" + "0" * 64


def opened(job: Job) -> LoadedModel:
    """The model in `in/`, opened by the engine that the job names.

    Raises:
        Refused: the runtime refuses the model, or the stages do not fit it.
    """
    file = PipelineFile(
        name="build",
        site="build",
        device="build",
        generation=1,
        generation_digest=_NO_DIGEST,
        model_ref="model@build",
        runtime_tree="in",
        model_tree="in",
        engine=job.extra["engine"],
        stages=dict(job.extra["stages"]),
        secrets=(),
    )
    try:
        return load(str(job.folder), file)
    except RuntimeFault as exc:
        raise Refused(f"the runtime refuses the model: {exc.summary}") from exc


def samples(job: Job, model: LoadedModel) -> Iterator[Tuple[Mapping[str, Any], Seen]]:
    """(sample, what the model is shown) of the job's data set, in order.

    Raises:
        Refused: a sample cannot be read as the pipeline's capture gives it.
    """
    folder = Path(job.extra["data_folder"])
    for sample in job.extra["samples"]:
        content = (folder / sample["file"]).read_bytes()
        try:
            if job.extra["level"] == "encoded":
                yield sample, model.look(content)
            else:
                yield sample, Seen(feeds=_tensors(job, content, sample["file"]))
        except RuntimeFault as exc:
            raise Refused(
                f"{sample['file']} cannot be shown to the model: {exc.summary}",
                "The samples must be what the pipeline's capture gives; see docs/reference/recipes.md.",
            ) from exc


def _tensors(job: Job, content: bytes, name: str) -> Mapping[str, Array]:
    found, at = {}, 0
    for one in job.extra["inputs"]:
        dtype, shape = np.dtype(one["dtype"]), tuple(one["shape"])
        size = dtype.itemsize * int(np.prod(shape))
        if at + size > len(content):
            raise Refused(f"{name} has {len(content)} bytes, fewer than `inputs` says")
        found[one["name"]] = np.frombuffer(content, dtype, int(np.prod(shape)), at).reshape(shape)
        at += size
    if at != len(content):
        raise Refused(f"{name} has {len(content)} bytes, `inputs` says {at}")
    return found
