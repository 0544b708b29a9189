"""From tensors to a result: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar


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
class Yolov8:
    """Boxes of a YOLOv8 head, (1, 4 + classes, boxes) in pixels of the input, after suppression."""

    kind: ClassVar[str] = "yolov8"
    labels: str | None = None
    threshold: float = 0.25
    iou: float = 0.45
    max_detections: int = 100
    class_agnostic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Boxes of an anchor head: offsets (1, anchors, 4) and scores (1, anchors, classes)."""

    kind: ClassVar[str] = "anchors"
    scheme: str = "efficientdet"
    """efficientdet (octaves and anchor_scale), or ssd (min_scale and max_scale)."""
    labels: str | None = None
    threshold: float = 0.25
    iou: float = 0.45
    max_detections: int = 100
    class_agnostic: bool = False
    strides: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0, 128.0)
    ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    octaves: int = 3
    anchor_scale: float = 4.0
    min_scale: float = 0.2
    max_scale: float = 0.95
    variances: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    activation: str = "sigmoid"
    """sigmoid, softmax or none."""
    background: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEntities:
    """Entities from one tag per token, (1, tokens, tags), in the BIO scheme."""

    kind: ClassVar[str] = "ner"
    labels: str
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One number of the model against limits; a limit of None is not judged."""

    kind: ClassVar[str] = "threshold"
    reduce: str = "max"
    """max, min, mean or first."""
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """How unusual an input is; `method` says whether the model or its reconstruction tells."""

    kind: ClassVar[str] = "anomaly"
    threshold: float
    method: str = "score"
    """score, or reconstruction (mean squared difference of output and input)."""


Postprocess = Classify | Yolov8 | Anchors | NamedEntities | Threshold | Anomaly
