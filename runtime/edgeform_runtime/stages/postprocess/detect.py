"""Detections out of the heads of YOLOv8 and of anchor networks."""

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.engines.base import TensorSpec
from edgeform_runtime.errors import InferenceFailed, PipelineInvalid
from edgeform_runtime.pipeline.postprocess import Anchors, Suppression, Yolov8
from edgeform_runtime.pipeline.preprocess import Preprocess, Resize
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.stages.postprocess import boxes as b
from edgeform_runtime.stages.postprocess.anchors import anchor_boxes, decoded
from edgeform_runtime.stages.postprocess.labels import read_labels

Specs = Tuple[TensorSpec, ...]
MAX_EXPONENT = 60.0


@dataclass(frozen=True)
class YoloDetector:
    """Boxes (centre and size in pixels of the input) with a probability per class, suppressed."""

    keep: Suppression
    labels: Tuple[str, ...]
    resize: Optional[Resize]

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """`{"kind": "detect", "width", "height", "detections": [{"index", "label", "score", "box"}]}`.

        Raises:
            InferenceFailed: numbers that are not finite, or a shape no YOLOv8 head has.
        """
        head = b.finite(next(iter(outputs.values())), "boxes")
        if head.ndim != 3 or head.shape[0] != 1 or head.shape[1] < 5:
            raise InferenceFailed(f"a YOLOv8 head is 1 x (4 + classes) x boxes, not {head.shape}")
        if self.labels and len(self.labels) != head.shape[1] - 4:
            raise InferenceFailed(f"{head.shape[1] - 4} classes for {len(self.labels)} labels")
        centre, half, per_class = head[0, :2], head[0, 2:4] / 2.0, head[0, 4:]
        corners = np.concatenate((centre - half, centre + half)).T
        return _result(corners, per_class.T, self.keep, self.labels, seen, self.resize)


@dataclass(frozen=True)
class AnchorDetector:
    """Offsets from anchors with a score per class, suppressed."""

    stage: Anchors
    labels: Tuple[str, ...]
    resize: Optional[Resize]

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """As `YoloDetector.result`.

        Raises:
            InferenceFailed: numbers that are not finite, or not as many boxes as anchors.
        """
        offsets, scores = _heads(outputs)
        anchors = anchor_boxes(self.stage, input_px(seen))
        if len(anchors) != len(offsets):
            raise InferenceFailed(
                f"the model gives {len(offsets)} boxes, the anchors of this stage are {len(anchors)}"
            )
        probabilities = activated(scores, self.stage.activation)
        if self.stage.background:
            probabilities = probabilities[:, 1:]
        if self.labels and len(self.labels) != probabilities.shape[1]:
            raise InferenceFailed(f"{probabilities.shape[1]} classes for {len(self.labels)} labels")
        found = decoded(offsets, anchors, self.stage.variances)
        return _result(found, probabilities, self.stage.keep, self.labels, seen, self.resize)


def _result(
    corners: Array,
    scores: Array,
    keep: Suppression,
    labels: Tuple[str, ...],
    seen: Seen,
    resize: Optional[Resize],
) -> Dict[str, Any]:
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    kept = b.suppress(corners, best, classes, keep)
    size = input_px(seen)
    placed = b.to_frame(corners[kept], size, seen.frame_px, resize)
    return b.detections(placed, best[kept], classes[kept], labels, seen.frame_px or size)


def input_px(seen: Seen) -> Tuple[int, int]:
    """(width, height) of the picture that the model was given, in either layout."""
    shape = next(iter(seen.feeds.values())).shape
    if len(shape) != 4:
        raise InferenceFailed(f"a detector's input has four dimensions, not {len(shape)}")
    if shape[1] in (1, 3):
        return int(shape[3]), int(shape[2])
    return int(shape[2]), int(shape[1])


def activated(scores: Array, name: str) -> Array:
    """Probabilities of the model's numbers."""
    if name == "none":
        return scores
    if name == "softmax":
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        soft: Array = powers / powers.sum(axis=-1, keepdims=True)
        return soft
    found: Array = 1.0 / (1.0 + np.exp(-np.clip(scores, -MAX_EXPONENT, MAX_EXPONENT)))
    return found


def _heads(outputs: Mapping[str, Array]) -> Tuple[Array, Array]:
    """(offsets, scores): by name where one says `box`, else the output with four numbers a row."""
    if len(outputs) != 2:
        raise InferenceFailed(f"an anchor head has two outputs, this model has {len(outputs)}")
    named = [name for name in outputs if "box" in name.lower()]
    fours = [name for name, value in outputs.items() if value.shape[-1] == 4]
    chosen = (named if len(named) == 1 else fours) or [""]
    if chosen[0] not in outputs or outputs[chosen[0]].shape[-1] != 4:
        raise InferenceFailed("none of the outputs has four numbers a box")
    (other,) = [name for name in outputs if name != chosen[0]]
    offsets = b.finite(outputs[chosen[0]], "boxes").reshape(-1, 4)
    scores = b.finite(outputs[other], "scores")
    scores = scores.reshape(-1, scores.shape[-1])
    if len(scores) != len(offsets):
        raise InferenceFailed(f"{len(offsets)} boxes and {len(scores)} rows of scores")
    return offsets, scores


def yolov8_detector(
    stage: Yolov8, steps: Tuple[Preprocess, ...], model_tree: str, outputs: Specs
) -> YoloDetector:
    """The stage, proven against the model.

    Raises:
        PipelineInvalid: the output is none of a YOLOv8 head, or the labels are not as many as classes.
    """
    shape = outputs[0].shape
    if len(shape) != 3 or (shape[1] != -1 and shape[1] < 5):
        raise PipelineInvalid(
            f"yolov8 takes an output of 1 x (4 + classes) x boxes, the model gives {list(shape)}"
        )
    classes = shape[1] - 4 if shape[1] != -1 else -1
    labels = read_labels(model_tree, stage.labels, classes)
    return YoloDetector(keep=stage.keep, labels=labels, resize=b.last_resize(steps))


def anchor_detector(
    stage: Anchors, steps: Tuple[Preprocess, ...], model_tree: str, outputs: Specs
) -> AnchorDetector:
    """The stage, proven against the model.

    Raises:
        PipelineInvalid: not two outputs, or the labels cannot be read.
    """
    if len(outputs) != 2:
        raise PipelineInvalid(
            f"anchors takes two outputs, boxes and scores; the model has {len(outputs)}"
        )
    labels = read_labels(model_tree, stage.labels, -1)
    return AnchorDetector(stage=stage, labels=labels, resize=b.last_resize(steps))
