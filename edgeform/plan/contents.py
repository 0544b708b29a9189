"""A pipeline of the site as the generation manifest says it: stages, checks and limits in JSON.

The key names are the frozen ones of docs/reference/interfaces.md.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from edgeform.domain.artifacts import LockedArtifact
from edgeform.domain.hardware import HardwareClass, RuntimeChoice
from edgeform.domain.pipeline import Json, Pipeline, operator_json
from edgeform_wire.generation import ArtifactRef, PipelineUse


def reference(artifact: LockedArtifact) -> ArtifactRef:
    return ArtifactRef(
        digest=artifact.digest,
        kind=artifact.kind,
        name=artifact.name,
        version=artifact.version,
        variant=artifact.variant,
        size_bytes=artifact.size_bytes,
        epoch=artifact.epoch,
    )


def pipeline_use(
    pipeline: Pipeline, hardware: HardwareClass, *, runtime: LockedArtifact, model: LockedArtifact
) -> PipelineUse:
    """One pipeline of a manifest, for the artifacts that were chosen for it."""
    checks = {f.name: getattr(pipeline.checks, f.name) for f in fields(pipeline.checks)}
    if checks["provider"] is None:
        checks["provider"] = hardware.runtime.provider
    return PipelineUse(
        name=pipeline.name,
        runtime=runtime.digest,
        model=model.digest,
        engine=str(hardware.runtime.engine),
        stages=stages(pipeline, hardware.runtime),
        checks=checks,
        limits={
            "memory_bytes": pipeline.limits.memory_bytes,
            "cpu_percent": pipeline.limits.cpu_percent,
        },
        secrets=tuple(sorted(set(pipeline.secrets))),
    )


def stages(pipeline: Pipeline, runtime: RuntimeChoice) -> dict[str, Any]:
    """The six stages, the server and the engine's settings, as the pipeline file holds them."""
    infer = pipeline.infer
    return {
        "capture": plain(operator_json(pipeline.capture)),
        "preprocess": [plain(operator_json(operator)) for operator in pipeline.preprocess],
        "infer": {
            "kind": infer.kind,
            "model": infer.model,
            "timeout_s": infer.timeout_s,
            "queue": infer.queue,
            "when_full": infer.when_full,
        },
        "postprocess": plain(operator_json(pipeline.postprocess)),
        "action": [plain(operator_json(operator)) for operator in pipeline.actions],
        "report": [plain(operator_json(operator)) for operator in pipeline.report],
        "serving": {"address": pipeline.serving.address, "port": pipeline.serving.port},
        "runtime": {
            "threads": runtime.threads,
            "provider": runtime.provider,
            "precision": runtime.precision,
        },
    }


def plain(value: Json) -> Any:
    """The value with lists for tuples and dicts for mappings, as reading it back would give."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    return value
