"""Whose preprocessing a model's samples go through: the stages of the pipeline that infers with it."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgeform.build.failure import DataSetUnusable
from edgeform.domain.pipeline import Pipeline
from edgeform.domain.site import Site
from edgeform.plan.contents import PipelineWriter
from edgeform_wire import canonical

PICTURES = ("image_directory", "http_push", "video_file", "video_stream", "v4l2")


def stages_of(site: Site, model: str, pipeline: str | None) -> Mapping[str, Any]:
    """Capture, preprocess and postprocess, as in a pipeline file; actions and reports are left out.

    Args:
        pipeline: by name; None takes the only one that devices run with the model.

    Raises:
        DataSetUnusable: no device runs such a pipeline, or several that prepare their input differently.
    """
    writer = PipelineWriter()
    found: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for device in site.devices:
        for each in device.pipelines:
            if each.infer.model != model or (pipeline is not None and each.name != pipeline):
                continue
            stages = _needed(writer.stages(each, device.hardware.runtime), each)
            found[canonical.digest_of(stages)] = stages
            names.add(each.name)
    if not found:
        named = f"pipeline {pipeline!r}" if pipeline else "a pipeline that infers with it"
        raise DataSetUnusable(
            f"No device runs {named}, so nobody says how samples are prepared for model {model}.",
            address=f"models.{model}",
            hint="Give a device such a pipeline.",
        )
    if len(found) > 1:
        raise DataSetUnusable(
            f"Devices prepare the input of model {model} in {len(found)} ways (pipelines"
            f" {', '.join(sorted(names))}).",
            address=f"models.{model}",
            hint="Say which is meant: build: {pipeline: NAME}",
        )
    return next(iter(found.values()))


def _needed(stages: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """What decides about inputs and results; where the pictures come from does not."""
    capture = stages["capture"]
    return {
        "capture": {"kind": "http_push"} if pipeline.capture.kind in PICTURES else capture,
        "preprocess": list(_plain(stages["preprocess"])),
        "infer": {},
        "postprocess": stages["postprocess"],
        "action": [],
        "report": [],
    }


def _plain(steps: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    return (dict(step) for step in steps)
