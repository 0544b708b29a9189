"""A pipeline of the site as the generation manifest says it: stages, checks and limits in JSON.

The key names are the frozen ones of docs/reference/interfaces.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any, TypeVar

from edgeform.domain.artifacts import LockedArtifact
from edgeform.domain.hardware import HardwareClass, RuntimeChoice, asked_precision
from edgeform.domain.pipeline import (
    OPEN,
    Checks,
    Infer,
    Json,
    Limits,
    Pipeline,
    Serving,
    Thermal,
    operator_json,
)
from edgeform.domain.recording import Recording, Region
from edgeform.domain.stages.action import Action
from edgeform.domain.stages.capture import Capture
from edgeform.domain.stages.postprocess import Postprocess
from edgeform.domain.stages.preprocess import Preprocess
from edgeform.domain.stages.report import Report
from edgeform_wire.generation import ArtifactRef, PipelineUse

T = TypeVar("T")
Operator = Capture | Preprocess | Postprocess | Action | Report


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


class PipelineWriter:
    """Writes pipelines for a manifest; what many pipelines share is written once.

    Parts are told apart by identity, so a writer lives no longer than the site whose pipelines it writes,
    and nobody may change what it gives.
    """

    def __init__(self) -> None:
        self._written: dict[int, tuple[object, Any]] = {}

    def use(
        self,
        pipeline: Pipeline,
        hardware: HardwareClass,
        *,
        runtime: LockedArtifact,
        model: LockedArtifact,
        beside: Mapping[str, LockedArtifact] = MappingProxyType({}),
    ) -> PipelineUse:
        """One pipeline of a manifest, for the artifacts that were chosen for it.

        Args:
            beside: those of the models that run beside its own, by model name.
        """
        once = self._once
        checks = once(pipeline.checks, _checks)
        if checks["provider"] is None:
            checks = checks | {"provider": hardware.runtime.provider}
        return PipelineUse(
            name=pipeline.name,
            runtime=runtime.digest,
            model=model.digest,
            engine=str(hardware.runtime.engine),
            stages=self._stages_for(model, pipeline, hardware.runtime, beside),
            checks=checks,
            limits=once(pipeline.limits, _limits),
            secrets=tuple(sorted(set(pipeline.secrets))),
        )

    def stages(self, pipeline: Pipeline, runtime: RuntimeChoice) -> dict[str, Any]:
        """The six stages, the server and the engine's settings, as the pipeline file holds them."""
        once = self._once
        # Left out where all may leave, so that generations from before the policy keep their digests.
        policy = {} if pipeline.egress == OPEN else {"egress": pipeline.egress}
        found: dict[str, Any] = {
            **policy,
            "capture": once(pipeline.capture, _operator),
            "preprocess": [once(part, _operator) for part in pipeline.preprocess],
            "infer": once(pipeline.infer, _infer),
            "postprocess": once(pipeline.postprocess, _operator),
            "action": [once(part, _operator) for part in pipeline.actions],
            "report": [once(part, _operator) for part in pipeline.report],
            "serving": once(pipeline.serving, _serving),
            "runtime": once(runtime, _runtime),
        }
        if pipeline.recording is not None:
            found["recording"] = once(pipeline.recording, _recording)
        return found

    def _stages_for(
        self,
        model: LockedArtifact,
        pipeline: Pipeline,
        runtime: RuntimeChoice,
        beside: Mapping[str, LockedArtifact],
    ) -> dict[str, Any]:
        found = self.stages(pipeline, runtime)
        precision = asked_precision(runtime.precision, model.precision)
        if precision != runtime.precision:
            found["runtime"] = found["runtime"] | {"precision": precision}
        told = {
            name: {**_companion(one), **_own_precision(runtime.precision, one, precision)}
            for name, one in beside.items()
        }
        return found | _beside(pipeline, told)

    def _once(self, part: T, write: Callable[[T], Any]) -> Any:
        known = self._written.get(id(part))
        if known is None:
            # The part is kept beside what was written: its identity must not go to another one.
            known = self._written[id(part)] = (part, write(part))
        return known[1]


def _beside(pipeline: Pipeline, companions: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """`thermal` and `shadow` of the stages, where the pipeline has them."""
    found: dict[str, Any] = {}
    if pipeline.limits.thermal is not None:
        found["thermal"] = _thermal(pipeline.limits.thermal, companions)
    if pipeline.shadow is not None:
        shadow = pipeline.shadow
        found["shadow"] = {"every": shadow.every, **companions[shadow.model]}
    return found


def _thermal(thermal: Thermal, companions: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "hysteresis_celsius": thermal.hysteresis_celsius,
        "hold_s": thermal.hold_s,
    }
    if thermal.sensor is not None:
        found["sensor"] = thermal.sensor
    if thermal.slow is not None:
        found["slow"] = {"celsius": thermal.slow.celsius, "fps": thermal.slow.fps}
    if thermal.smaller is not None:
        companion = companions[thermal.smaller.model]
        found["smaller"] = {"celsius": thermal.smaller.celsius, **companion}
    if thermal.pause is not None:
        found["pause"] = {"celsius": thermal.pause.celsius}
    return found


def _companion(artifact: LockedArtifact) -> dict[str, Any]:
    ref = f"{artifact.name}@{artifact.version}/{artifact.variant}"
    return {"model": artifact.digest, "model_ref": ref}


def _own_precision(chosen: str, artifact: LockedArtifact, main: str) -> dict[str, str]:
    """A companion's own precision, where it is not the one that the pipeline's model is asked for."""
    precision = asked_precision(chosen, artifact.precision)
    return {} if precision == main else {"precision": precision}


def _operator(part: Operator) -> Any:
    return plain(operator_json(part))


def _infer(infer: Infer) -> dict[str, Any]:
    return {
        "kind": infer.kind,
        "model": infer.model,
        "timeout_s": infer.timeout_s,
        "queue": infer.queue,
        "when_full": infer.when_full,
    }


def _runtime(runtime: RuntimeChoice) -> dict[str, Any]:
    return {
        "threads": runtime.threads,
        "provider": runtime.provider,
        "precision": runtime.precision,
    }


def _serving(serving: Serving) -> dict[str, Any]:
    found: dict[str, Any] = {"address": serving.address, "port": serving.port}
    return found if serving.token is None else found | {"token": serving.token}


def _recording(recording: Recording) -> dict[str, Any]:
    found = {f.name: getattr(recording, f.name) for f in fields(recording) if f.name != "mask"}
    mask = {
        name: [asdict(item) if isinstance(item, Region) else item for item in given]
        for name in recording.mask.names
        if (given := getattr(recording.mask, name))
    }
    return {name: value for name, value in found.items() if value is not None} | {"mask": mask}


def _checks(checks: Checks) -> dict[str, Any]:
    return {f.name: getattr(checks, f.name) for f in fields(checks)}


def _limits(limits: Limits) -> dict[str, Any]:
    return {"memory_bytes": limits.memory_bytes, "cpu_percent": limits.cpu_percent}


def plain(value: Json) -> Any:
    """The value with lists for tuples and dicts for mappings, as reading it back would give."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    return value
