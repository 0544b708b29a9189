"""From tensors to a result, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple, Union

from edgeform_runtime.pipeline.bounds import among, at_least, number
from edgeform_wire import artifact
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MAX_DETECTIONS = 1000
MAX_LEVELS = 10
STRIDES = (8.0, 16.0, 32.0, 64.0, 128.0)
RATIOS = (1.0, 2.0, 0.5)


@dataclass(frozen=True)
class Classify:
    top_k: int
    softmax: bool
    labels: Optional[str]
    threshold: float


@dataclass(frozen=True)
class Suppression:
    """What both kinds of detectors do with the boxes they decoded."""

    threshold: float
    iou: float
    max_detections: int
    class_agnostic: bool


@dataclass(frozen=True)
class Yolov8:
    labels: Optional[str]
    keep: Suppression


@dataclass(frozen=True)
class Anchors:
    scheme: str
    labels: Optional[str]
    keep: Suppression
    strides: Tuple[float, ...]
    ratios: Tuple[float, ...]
    octaves: int
    anchor_scale: float
    min_scale: float
    max_scale: float
    variances: Tuple[float, ...]
    activation: str
    background: bool


@dataclass(frozen=True)
class NamedEntities:
    labels: str
    threshold: float


@dataclass(frozen=True)
class Threshold:
    reduce: str
    above: Optional[float]
    below: Optional[float]


@dataclass(frozen=True)
class Anomaly:
    threshold: float
    method: str


Postprocess = Union[Classify, Yolov8, Anchors, NamedEntities, Threshold, Anomaly]


def _labels(fields: Fields) -> Optional[str]:
    labels = fields.optional_text("labels")
    if labels is not None:
        artifact.check_paths((labels,))
    return labels


def _classify(fields: Fields) -> Classify:
    return Classify(
        labels=_labels(fields),
        top_k=fields.integer("top_k", 1, 1),
        softmax=fields.boolean("softmax", default=True),
        threshold=fields.number("threshold", 0.0),
    )


def _suppression(fields: Fields) -> Suppression:
    return Suppression(
        threshold=at_least(fields.number("threshold", 0.25), 0.0, "threshold"),
        iou=at_least(fields.number("iou", 0.45), 0.0, "iou"),
        max_detections=min(fields.integer("max_detections", 1, 100), MAX_DETECTIONS),
        class_agnostic=fields.boolean("class_agnostic", default=False),
    )


def _yolov8(fields: Fields) -> Yolov8:
    return Yolov8(labels=_labels(fields), keep=_suppression(fields))


def _anchors(fields: Fields) -> Anchors:
    found = Anchors(
        scheme=among(fields.text("scheme", "efficientdet"), ("efficientdet", "ssd"), "scheme"),
        labels=_labels(fields),
        keep=_suppression(fields),
        strides=_positives(fields, "strides", STRIDES),
        ratios=_positives(fields, "ratios", RATIOS),
        octaves=fields.integer("octaves", 1, 3),
        anchor_scale=_positive(fields.number("anchor_scale", 4.0), "anchor_scale"),
        min_scale=_positive(fields.number("min_scale", 0.2), "min_scale"),
        max_scale=_positive(fields.number("max_scale", 0.95), "max_scale"),
        variances=_positives(fields, "variances", (1.0,) * 4),
        activation=among(
            fields.text("activation", "sigmoid"), ("sigmoid", "softmax", "none"), "activation"
        ),
        background=fields.boolean("background", default=False),
    )
    if len(found.variances) != 4:
        raise WireError(f"anchors.variances: {len(found.variances)} values, four are needed")
    return found


def _ner(fields: Fields) -> NamedEntities:
    labels = fields.text("labels")
    artifact.check_paths((labels,))
    return NamedEntities(labels=labels, threshold=fields.number("threshold", 0.0))


def _threshold(fields: Fields) -> Threshold:
    return Threshold(
        reduce=among(fields.text("reduce", "max"), ("max", "min", "mean", "first"), "reduce"),
        above=fields.optional_number("above"),
        below=fields.optional_number("below"),
    )


def _anomaly(fields: Fields) -> Anomaly:
    return Anomaly(
        threshold=fields.number("threshold"),
        method=among(fields.text("method", "score"), ("score", "reconstruction"), "method"),
    )


def _positive(value: float, what: str) -> float:
    if not 0.0 < value < float("inf"):
        raise WireError(f"{what}: {value} is not a number above 0")
    return value


def _positives(fields: Fields, name: str, default: Tuple[float, ...]) -> Tuple[float, ...]:
    found = fields.each(name, number, default=True) or default
    if len(found) > MAX_LEVELS:
        raise WireError(f"{name}: {len(found)} values, at most {MAX_LEVELS}")
    return tuple(_positive(value, name) for value in found)


OPERATORS: Dict[str, Callable[[Fields], Postprocess]] = {
    "classify": _classify,
    "yolov8": _yolov8,
    "anchors": _anchors,
    "ner": _ner,
    "threshold": _threshold,
    "anomaly": _anomaly,
}
