"""Boxes as (x1, y1, x2, y2): overlap, suppression, and the way back from the model's input to the frame."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import InferenceFailed
from edgeform_runtime.pipeline.postprocess import Suppression
from edgeform_runtime.pipeline.preprocess import Preprocess, Resize

MAX_CANDIDATES = 2000
"""Boxes that suppression looks at, best first: the work grows with their square."""


def overlaps(one: Array, many: Array) -> Array:
    """Intersection over union of one box with each of many; 0 where both are empty."""
    width = np.minimum(one[2], many[:, 2]) - np.maximum(one[0], many[:, 0])
    height = np.minimum(one[3], many[:, 3]) - np.maximum(one[1], many[:, 1])
    inside = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    both = _area(one[None])[0] + _area(many) - inside
    found: Array = np.divide(inside, both, out=np.zeros_like(inside), where=both > 0)
    return found


def _area(boxes: Array) -> Array:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    found: Array = sides[:, 0] * sides[:, 1]
    return found


def suppress(boxes: Array, scores: Array, classes: Array, keep: Suppression) -> Array:
    """Places of the boxes that stay, best first: greedy, by class unless `class_agnostic`.

    Of boxes with one score the first stands; a box goes when it overlaps a better one by more than `iou`.
    """
    passing = np.flatnonzero(scores >= keep.threshold)
    order = passing[np.argsort(-scores[passing], kind="stable")][:MAX_CANDIDATES]
    kept: List[int] = []
    while order.size and len(kept) < keep.max_detections:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        is_near = overlaps(boxes[best], boxes[rest]) > keep.iou
        if not keep.class_agnostic:
            is_near &= classes[rest] == classes[best]
        order = rest[~is_near]
    return np.asarray(kept, np.intp)


def to_frame(
    boxes: Array,
    input_px: Tuple[int, int],
    frame_px: Optional[Tuple[int, int]],
    resize: Optional[Resize],
) -> Array:
    """The boxes in pixels of the frame, cut at its edges.

    Args:
        input_px: (width, height) of the model's input.
        frame_px: of the frame; None (raw tensors were given) leaves the boxes in the input.
    """
    width, height = frame_px or input_px
    if resize is not None and resize.mode == "letterbox":
        # The same arithmetic as in `preprocess.resize`, or boxes would be off by the rounding.
        ratio = min(resize.width / width, resize.height / height)
        inner_width = min(resize.width, max(1, round(width * ratio)))
        inner_height = min(resize.height, max(1, round(height * ratio)))
    else:
        inner_width, inner_height = input_px
    left, top = (input_px[0] - inner_width) // 2, (input_px[1] - inner_height) // 2
    moved = boxes - np.asarray([left, top, left, top])
    moved = moved * np.asarray([width / inner_width, height / inner_height] * 2)
    found: Array = np.clip(moved, 0.0, np.asarray([width, height] * 2, np.float64))
    return found


def last_resize(steps: Tuple[Preprocess, ...]) -> Optional[Resize]:
    """The step that made the model's input out of the frame."""
    found = [step for step in steps if isinstance(step, Resize)]
    return found[-1] if found else None


def detections(
    boxes: Array, scores: Array, classes: Array, labels: Tuple[str, ...], size_px: Tuple[int, int]
) -> Dict[str, Any]:
    """The result of a detector: boxes in pixels of a frame of that size, best first."""
    return {
        "kind": "detect",
        "width": size_px[0],
        "height": size_px[1],
        "detections": [
            {
                "index": int(index),
                "label": labels[int(index)] if labels else str(int(index)),
                "score": round(float(score), 6),
                "box": [round(float(edge), 2) for edge in box],
            }
            for box, score, index in zip(boxes, scores, classes)
        ],
    }


def finite(values: Array, what: str) -> Array:
    """The values as float64.

    Raises:
        InferenceFailed: one of them is NaN or infinite.
    """
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        raise InferenceFailed(f"the model's {what} are not finite")
    return found
