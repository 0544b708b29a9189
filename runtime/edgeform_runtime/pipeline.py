"""The stages of a pipeline file as typed values; the counterpart of `edgeform/domain/pipeline.py`.

Everything that can be refused without a model or a frame is refused here, with the field named.
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar, Union

from edgeform_runtime.errors import PipelineInvalid
from edgeform_wire import artifact
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

FILTERS = ("nearest", "bilinear", "bilinear-aa", "area")
MODES = ("stretch", "letterbox")
WHEN_FULL = ("wait", "drop_oldest", "drop_latest")
AFTER = ("keep", "delete", "move")
MAX_SIDE_PX = 8192
MAX_QUEUE = 64
T = TypeVar("T")


@dataclass(frozen=True)
class ImageDirectory:
    path: str
    pattern: str
    interval_s: float
    after: str


@dataclass(frozen=True)
class HttpPush:
    max_bytes: int


@dataclass(frozen=True)
class Resize:
    width: int
    height: int
    filter: str
    mode: str


@dataclass(frozen=True)
class Colour:
    to: str


@dataclass(frozen=True)
class Normalise:
    scale: float
    mean: Tuple[float, ...]
    std: Tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    order: str


@dataclass(frozen=True)
class Infer:
    timeout_s: float
    queue: int
    when_full: str


@dataclass(frozen=True)
class Classify:
    top_k: int
    softmax: bool
    labels: Optional[str]
    threshold: float


@dataclass(frozen=True)
class StoreLocally:
    directory: str
    max_bytes: int
    max_age_s: float
    frames: str


@dataclass(frozen=True)
class ReportLines:
    every_s: float


@dataclass(frozen=True)
class Serving:
    address: str
    port: int


@dataclass(frozen=True)
class EngineSettings:
    """`stages.runtime`: how the engine is asked to run; `effective()` says how it does."""

    threads: int
    provider: str
    precision: str


Capture = Union[ImageDirectory, HttpPush]
Preprocess = Union[Resize, Colour, Normalise, Layout]


@dataclass(frozen=True)
class Stages:
    capture: Capture
    preprocess: Tuple[Preprocess, ...]
    infer: Infer
    postprocess: Classify
    actions: Tuple[StoreLocally, ...]
    reports: Tuple[ReportLines, ...]
    serving: Serving
    engine: EngineSettings


def stages_of(value: Dict[str, Any]) -> Stages:
    """The six stages of a pipeline file.

    Raises:
        PipelineInvalid: an operator, field or value this runtime does not have.
    """
    try:
        return _stages(value)
    except WireError as exc:
        raise PipelineInvalid(str(exc)) from exc


def _stages(value: Dict[str, Any]) -> Stages:
    fields = Fields(value, "stages")
    found = Stages(
        capture=_operator(fields.object("capture"), "stages.capture", _CAPTURE),
        preprocess=_operators(fields, "preprocess", _PREPROCESS),
        infer=_infer(fields.object("infer")),
        postprocess=_operator(fields.object("postprocess"), "stages.postprocess", _POSTPROCESS),
        actions=_operators(fields, "action", _ACTION),
        reports=_operators(fields, "report", _REPORT),
        serving=_serving(fields.object("serving", default={})),
        engine=_engine(fields.object("runtime", default={})),
    )
    fields.done()
    _check_order(found.preprocess)
    return found


def _operators(
    fields: Fields, name: str, known: Mapping[str, Callable[[Fields], T]]
) -> Tuple[T, ...]:
    def read(value: Any, what: str) -> T:
        return _operator(value, what, known)

    return fields.each(name, read, default=True)


def _operator(value: Any, what: str, known: Mapping[str, Callable[[Fields], T]]) -> T:
    fields = Fields(value, what)
    kind = fields.choice("kind", known)
    found = known[kind](fields)
    fields.done()
    return found


def _image_directory(fields: Fields) -> ImageDirectory:
    return ImageDirectory(
        path=fields.text("path"),
        pattern=fields.text("pattern", "*.png"),
        interval_s=_at_least(fields.number("interval_s", 1.0), 0.0, "capture.interval_s"),
        after=_among(fields.text("after", "keep"), AFTER, "capture.after"),
    )


def _http_push(fields: Fields) -> HttpPush:
    return HttpPush(max_bytes=fields.integer("max_bytes", 1, 16 * 1024 * 1024))


def _resize(fields: Fields) -> Resize:
    width, height = fields.integer("width", 1), fields.integer("height", 1)
    if max(width, height) > MAX_SIDE_PX:
        raise WireError(f"resize to {width}x{height}: more than {MAX_SIDE_PX} px a side")
    return Resize(
        width=width,
        height=height,
        filter=_among(fields.text("filter", "bilinear"), FILTERS, "resize.filter"),
        mode=_among(fields.text("mode", "stretch"), MODES, "resize.mode"),
    )


def _colour(fields: Fields) -> Colour:
    return Colour(to=fields.choice("to", ("rgb", "bgr", "grey")))


def _normalise(fields: Fields) -> Normalise:
    scale = fields.number("scale", 1.0)
    mean = fields.each("mean", _number, default=True) or (0.0,)
    std = fields.each("std", _number, default=True) or (1.0,)
    if any(s == 0.0 for s in std):
        raise WireError("normalise.std: a zero would divide by nothing")
    return Normalise(scale=scale, mean=mean, std=std)


def _layout(fields: Fields) -> Layout:
    return Layout(order=_among(fields.text("order", "nchw"), ("nchw", "nhwc"), "layout.order"))


def _classify(fields: Fields) -> Classify:
    labels = fields.optional_text("labels")
    if labels is not None:
        artifact.check_paths((labels,))
    return Classify(
        top_k=fields.integer("top_k", 1, 1),
        softmax=fields.boolean("softmax", default=True),
        labels=labels,
        threshold=fields.number("threshold", 0.0),
    )


def _store(fields: Fields) -> StoreLocally:
    directory = fields.text("directory", "results")
    artifact.check_paths((directory,))
    return StoreLocally(
        directory=directory,
        max_bytes=fields.integer("max_bytes", 4096, 64 * 1024 * 1024),
        max_age_s=_at_least(fields.number("max_age_s", 7 * 86400.0), 0.0, "store.max_age_s"),
        frames=_among(fields.text("frames", "none"), ("none", "encoded"), "store.frames"),
    )


def _json_lines(fields: Fields) -> ReportLines:
    return ReportLines(every_s=_at_least(fields.number("every_s", 60.0), 0.1, "json_lines.every_s"))


def _infer(value: Dict[str, Any]) -> Infer:
    fields = Fields(value, "stages.infer")
    fields.text("kind", "infer")
    fields.text("model", "")
    queue = fields.integer("queue", 1, 2)
    found = Infer(
        timeout_s=_at_least(fields.number("timeout_s", 5.0), 0.001, "infer.timeout_s"),
        queue=min(queue, MAX_QUEUE),
        when_full=_among(fields.text("when_full", "drop_oldest"), WHEN_FULL, "infer.when_full"),
    )
    fields.done()
    return found


def _serving(value: Dict[str, Any]) -> Serving:
    fields = Fields(value, "stages.serving")
    found = Serving(address=fields.text("address", "127.0.0.1"), port=fields.integer("port", 0, 0))
    fields.done()
    if found.port > 65535:
        raise WireError(f"stages.serving.port: {found.port} is not a port")
    return found


def _engine(value: Dict[str, Any]) -> EngineSettings:
    fields = Fields(value, "stages.runtime")
    found = EngineSettings(
        threads=fields.integer("threads", 1, 1),
        provider=fields.optional_text("provider") or "CPUExecutionProvider",
        precision=fields.optional_text("precision") or "f32",
    )
    fields.done()
    return found


_CAPTURE: Dict[str, Callable[[Fields], Capture]] = {
    "image_directory": _image_directory,
    "http_push": _http_push,
}
_PREPROCESS: Dict[str, Callable[[Fields], Preprocess]] = {
    "resize": _resize,
    "colour": _colour,
    "normalise": _normalise,
    "layout": _layout,
}
_POSTPROCESS = {"classify": _classify}
_ACTION = {"store": _store}
_REPORT = {"json_lines": _json_lines}


def _check_order(steps: Tuple[Preprocess, ...]) -> None:
    """Pixels first (resize, colour), then numbers (normalise), then layout: each edge has one type."""
    ranks: List[int] = []
    for step in steps:
        if isinstance(step, (Resize, Colour)):
            ranks.append(0)
        elif isinstance(step, Normalise):
            ranks.append(1)
        else:
            ranks.append(2)
    if ranks != sorted(ranks):
        raise WireError(
            "stages.preprocess: resize and colour work on pixels and come first,"
            " then normalise, then layout"
        )
    if ranks.count(2) > 1:
        raise WireError("stages.preprocess: layout stands there twice")


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WireError(f"{what}: expected a number, got {value!r:.40}")
    return float(value)


def _at_least(value: float, minimum: float, what: str) -> float:
    if not value >= minimum:
        raise WireError(f"{what}: {value} is less than {minimum}")
    return value


def _among(value: str, choices: Tuple[str, ...], what: str) -> str:
    if value not in choices:
        raise WireError(f"{what}: {value!r} is none of {', '.join(choices)}")
    return value
