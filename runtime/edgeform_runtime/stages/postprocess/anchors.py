"""Anchors of EfficientDet and SSD, and boxes out of offsets from them.

Sources: Tan et al., EfficientDet (arXiv 1911.09070) with the anchors of RetinaNet (arXiv 1708.02002 §4);
Liu et al., SSD (arXiv 1512.02325 §2.2). Order: levels, rows, columns, then the anchors of a place.
"""

import math
from functools import lru_cache
from typing import List, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.pipeline.postprocess import Anchors

MAX_LOG = 10.0
"""Log of the largest growth of an anchor; what is beyond is no box, and must not overflow."""


@lru_cache(maxsize=4)
def anchor_boxes(stage: Anchors, input_px: Tuple[int, int]) -> Array:
    """(anchors, 4) of (centre y, centre x, height, width) in pixels of the input."""
    levels = []
    for level, stride in enumerate(stage.strides):
        rows, columns = (math.ceil(side / stride) for side in (input_px[1], input_px[0]))
        sides = np.asarray(_sides(stage, level, input_px))
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, indexing="ij"
        )
        centres = np.stack((y, x), axis=-1).reshape(-1, 1, 2)
        shape = (len(centres), len(sides), 2)
        both = (np.broadcast_to(centres, shape), np.broadcast_to(sides[None], shape))
        levels.append(np.concatenate(both, axis=-1).reshape(-1, 4))
    found = np.concatenate(levels)
    found.setflags(write=False)
    return found


def _sides(stage: Anchors, level: int, input_px: Tuple[int, int]) -> List[Tuple[float, float]]:
    """(height, width) of each anchor of a place; `ratios` are widths over heights."""
    if stage.scheme == "efficientdet":
        found = []
        for octave in range(stage.octaves):
            side = stage.anchor_scale * stage.strides[level] * 2.0 ** (octave / stage.octaves)
            found += [(side / math.sqrt(ratio), side * math.sqrt(ratio)) for ratio in stage.ratios]
        return found
    scale, following = _scale(stage, level), _scale(stage, level + 1)
    width, height = input_px
    sides = [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for ratio in stage.ratios]
    sides.append((math.sqrt(scale * following),) * 2)
    return [(tall * height, wide * width) for tall, wide in sides]


def _scale(stage: Anchors, level: int) -> float:
    last = len(stage.strides) - 1
    if level > last:
        return 1.0
    step = (stage.max_scale - stage.min_scale) / last if last else 0.0
    return stage.min_scale + step * level


def decoded(offsets: Array, anchors: Array, variances: Tuple[float, ...]) -> Array:
    """(boxes, 4) of (x1, y1, x2, y2) out of offsets (y, x, log height, log width) from anchors."""
    moved = offsets * np.asarray(variances)
    centre = moved[:, :2] * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(np.minimum(moved[:, 2:], MAX_LOG)) * anchors[:, 2:] / 2.0
    corners = np.concatenate((centre - half, centre + half), axis=1)
    found: Array = corners[:, [1, 0, 3, 2]]
    return found
