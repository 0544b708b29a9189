"""Pipelines: six linear stages, each a closed set of operators versioned with the runtime.

A stage's operators are dataclasses; `kind` is the key they have in a site spec and in the pipeline
file. The runtime knows the same names; a new operator is added on both sides and to the schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

from edgeform.domain.names import ModelName, PipelineName

Json = str | int | float | bool | None | tuple["Json", ...] | Mapping[str, "Json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDirectory:
    """Take the files of a directory, oldest name first; finished ones may be moved or deleted."""

    kind: ClassVar[str] = "image_directory"
    path: str
    pattern: str = "*.png"
    interval_s: float = 1.0
    after: str = "keep"
    """keep (play them again), delete, or move (into `done/` beside them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPush:
    """Take frames that are posted to `/v1/frames` of the runtime's own server."""

    kind: ClassVar[str] = "http_push"
    max_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """`filter` names the algorithm, because libraries disagree: nearest, bilinear, bilinear-aa, area."""

    kind: ClassVar[str] = "resize"
    width: int
    height: int
    filter: str = "bilinear"
    mode: str = "stretch"
    """stretch, or letterbox (padded grey 114)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """`to`: rgb, bgr or grey."""

    kind: ClassVar[str] = "colour"
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalise:
    """(x * scale - mean) / std, per channel or one value for all."""

    kind: ClassVar[str] = "normalise"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`order`: nchw or nhwc; a batch dimension is added in front."""

    kind: ClassVar[str] = "layout"
    order: str = "nchw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classify:
    """Softmax if asked, then the k best classes with their labels."""

    kind: ClassVar[str] = "classify"
    top_k: int = 1
    softmax: bool = True
    labels: str | None = None
    """Path in the model artifact, one label a line."""
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocally:
    """Keep results as JSON Lines below the prefix, oldest files go first at the limits."""

    kind: ClassVar[str] = "store"
    directory: str = "results"
    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 7 * 86400.0
    frames: str = "none"
    """none, or encoded: the frame as captured is kept beside its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLines:
    """Write a summary as JSON Lines to the service's log every so often."""

    kind: ClassVar[str] = "json_lines"
    every_s: float = 60.0


Capture = ImageDirectory | HttpPush
Preprocess = Resize | Colour | Normalise | Layout
Postprocess = Classify
Action = StoreLocally
Report = ReportLines


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
    """The pipeline's HTTP server; a port of 0 means the unix socket only."""

    address: str = "127.0.0.1"
    port: int = 0


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
class Limits:
    memory_bytes: int | None = None
    cpu_percent: int | None = None


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
    checks: Checks = field(default_factory=Checks)
    limits: Limits = field(default_factory=Limits)
    secrets: tuple[str, ...] = ()


def operator_json(
    operator: Capture | Preprocess | Postprocess | Action | Report,
) -> Mapping[str, Json]:
    """`{"kind": ..., field: value}` for the pipeline file, None fields left out."""
    return {"kind": operator.kind} | {
        f.name: value for f in fields(operator) if (value := getattr(operator, f.name)) is not None
    }
