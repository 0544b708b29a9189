"""Pipelines: six linear stages, each a closed set of operators versioned with the runtime.

The operators are in `domain/stages`, one module per stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar

from edgeform.domain.names import ModelName, PipelineName
from edgeform.domain.recording import Recording
from edgeform.domain.stages.action import Action
from edgeform.domain.stages.broker import Broker
from edgeform.domain.stages.capture import Capture
from edgeform.domain.stages.postprocess import Postprocess
from edgeform.domain.stages.preprocess import Preprocess
from edgeform.domain.stages.report import Report

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Json = str | int | float | bool | None | tuple["Json", ...] | Mapping[str, "Json"]


OPEN, RESULTS_ONLY = "open", "results_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Infer:
    """Which model, how precisely, and how long one inference may take."""

    kind: ClassVar[str] = "infer"
    model: ModelName
    timeout_s: float = 5.0
    queue: int = 2
    when_full: str = "drop_oldest"
    """wait, drop_oldest or drop_latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The pipeline's HTTP server; a port of 0 means the unix socket only.

    Args:
        token: name of the secret that requests over TCP must bring; needed beyond loopback.
    """

    address: str = "127.0.0.1"
    port: int = 0
    token: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only programs on the device itself can connect."""
        return not self.port or self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What must hold on the device before a commit; a limit of None is not judged.

    Args:
        golden: compare with the goldens of the model artifact.
        p50_ms: wall-time objective of one inference, judged three-valued.
        rss_bytes: resident memory after warm-up.
        provider: the execution provider that must be in effect.
    """

    golden: bool = True
    p50_ms: float | None = None
    rss_bytes: int | None = None
    rss_slope_bytes: int | None = None
    provider: str | None = None
    min_free_disk_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """From this temperature on at most so many frames in a second."""

    celsius: float
    fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """From this temperature on another model answers, with its own goldens."""

    celsius: float
    model: ModelName


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """From this temperature on nothing is inferred."""

    celsius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """The thermal ladder; each rung includes those below it.

    Args:
        sensor: whose temperature counts; None for the hottest.
        hysteresis_celsius, hold_s: how much cooler it must be, and for how long, to go one rung down.
    """

    sensor: str | None = None
    hysteresis_celsius: float = 5.0
    hold_s: float = 30.0
    slow: Slow | None = None
    smaller: Smaller | None = None
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    memory_bytes: int | None = None
    cpu_percent: int | None = None
    thermal: Thermal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A model that sees one in `every` frames beside the live one, is compared and never acts."""

    model: ModelName
    every: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """From a sensor to an action, after all merging: no reference is left but the model's name."""

    name: PipelineName
    capture: Capture
    preprocess: tuple[Preprocess, ...]
    infer: Infer
    postprocess: Postprocess
    actions: tuple[Action, ...] = ()
    report: tuple[Report, ...] = ()
    serving: Serving = field(default_factory=Serving)
    recording: Recording | None = None
    checks: Checks = field(default_factory=Checks)
    limits: Limits = field(default_factory=Limits)
    shadow: Shadow | None = None
    secrets: tuple[str, ...] = ()
    egress: str = OPEN
    """What may leave the device: open, or results_only."""


def companion_models(pipeline: Pipeline) -> tuple[tuple[str, ModelName], ...]:
    """(place in the spec, model) of what runs beside the pipeline's own model."""
    thermal = pipeline.limits.thermal
    found = []
    if thermal is not None and thermal.smaller is not None:
        found.append(("limits.thermal.smaller", thermal.smaller.model))
    if pipeline.shadow is not None:
        found.append(("shadow", pipeline.shadow.model))
    return tuple(found)


def operator_json(
    operator: Capture | Preprocess | Postprocess | Action | Report,
) -> Mapping[str, Json]:
    """`{"kind": ..., field: value}` for the pipeline file, None fields left out."""
    return {"kind": operator.kind, **_fields(operator)}


def _fields(value: "DataclassInstance") -> Mapping[str, Json]:
    found = {f.name: getattr(value, f.name) for f in fields(value)}
    return {
        name: _fields(inner) if isinstance(inner, Broker) else inner
        for name, inner in found.items()
        if inner is not None
    }
