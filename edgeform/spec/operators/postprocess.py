"""Postprocess operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.postprocess import (
    Anchors,
    Anomaly,
    Classify,
    NamedEntities,
    Postprocess,
    Threshold,
    Yolov8,
)
from edgeform.spec.fields import (
    Mapping,
    boolean_or,
    integer_or,
    number,
    number_or,
    numbers,
    text,
    text_or,
)


def _classify(spec: Mapping) -> Classify:
    return Classify(
        top_k=integer_or(spec, "top_k", 1),
        softmax=boolean_or(spec, "softmax", default=True),
        labels=text(spec, "labels"),
        threshold=number_or(spec, "threshold", 0.0),
    )


def _yolov8(spec: Mapping) -> Yolov8:
    return Yolov8(
        labels=text(spec, "labels"),
        threshold=number_or(spec, "threshold", 0.25),
        iou=number_or(spec, "iou", 0.45),
        max_detections=integer_or(spec, "max_detections", 100),
        class_agnostic=boolean_or(spec, "class_agnostic", default=False),
    )


def _anchors(spec: Mapping) -> Anchors:
    return Anchors(
        scheme=text_or(spec, "scheme", "efficientdet"),
        labels=text(spec, "labels"),
        threshold=number_or(spec, "threshold", 0.25),
        iou=number_or(spec, "iou", 0.45),
        max_detections=integer_or(spec, "max_detections", 100),
        class_agnostic=boolean_or(spec, "class_agnostic", default=False),
        strides=numbers(spec, "strides", (8.0, 16.0, 32.0, 64.0, 128.0)),
        ratios=numbers(spec, "ratios", (1.0, 2.0, 0.5)),
        octaves=integer_or(spec, "octaves", 3),
        anchor_scale=number_or(spec, "anchor_scale", 4.0),
        min_scale=number_or(spec, "min_scale", 0.2),
        max_scale=number_or(spec, "max_scale", 0.95),
        variances=numbers(spec, "variances", (1.0, 1.0, 1.0, 1.0)),
        activation=text_or(spec, "activation", "sigmoid"),
        background=boolean_or(spec, "background", default=False),
    )


def _ner(spec: Mapping) -> NamedEntities:
    return NamedEntities(
        labels=text_or(spec, "labels", ""), threshold=number_or(spec, "threshold", 0.0)
    )


def _threshold(spec: Mapping) -> Threshold:
    return Threshold(
        reduce=text_or(spec, "reduce", "max"),
        above=number(spec, "above"),
        below=number(spec, "below"),
    )


def _anomaly(spec: Mapping) -> Anomaly:
    return Anomaly(
        threshold=number_or(spec, "threshold", 0.0), method=text_or(spec, "method", "score")
    )


OPERATORS: dict[str, Callable[[Mapping], Postprocess]] = {
    "classify": _classify,
    "yolov8": _yolov8,
    "anchors": _anchors,
    "ner": _ner,
    "threshold": _threshold,
    "anomaly": _anomaly,
}
