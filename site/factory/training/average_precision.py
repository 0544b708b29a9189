"""How well a detector finds what is there: average precision over all points of the curve, as COCO and VOC
2010 have it.

A detection is right when it overlaps a part of its class, in its picture, that no better detection has
taken, by at least `overlap`. Precision is made non-increasing from the right, and the area below it is
taken whole (VOC 2010 and later; COCO samples the same curve at 101 places). numpy alone, so that tests can
use it without a training environment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

COCO_OVERLAPS = tuple(0.5 + 0.05 * n for n in range(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box of one picture; `score` is of no meaning where it is the truth."""

    picture: int
    label: str
    edges: tuple[float, float, float, float]
    score: float = 1.0


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two (x1, y1, x2, y2)."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    inside = max(across, 0.0) * max(down, 0.0)
    areas = [max(b[2] - b[0], 0.0) * max(b[3] - b[1], 0.0) for b in (one, other)]
    both = areas[0] + areas[1] - inside
    return inside / both if both > 0 else 0.0


def average_precision(found: Iterable[Box], truth: Iterable[Box], least: float = 0.5) -> float:
    """Of one class, from 0 to 1.

    Raises:
        ValueError: the truth is empty, so that nothing could be found.
    """
    there = [[box, False] for box in truth]
    if not there:
        raise ValueError("average precision of a class that is nowhere has no meaning")
    hits = []
    for box in sorted(found, key=lambda b: -b.score):
        near = [
            (overlap(box.edges, entry[0].edges), entry)
            for entry in there
            if entry[0].picture == box.picture and not entry[1]
        ]
        best = max(near, key=lambda pair: pair[0], default=(0.0, None))
        is_hit = best[1] is not None and best[0] >= least
        if is_hit:
            best[1][1] = True
        hits.append(is_hit)
    if not hits:
        return 0.0
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    recall = np.concatenate(([0.0], right / len(there)))
    hull = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * hull))


def mean_average_precision(
    found: Sequence[Box], truth: Sequence[Box], overlaps: Sequence[float] = (0.5,)
) -> tuple[float, Mapping[str, float]]:
    """The mean over classes of the truth and over `overlaps`, and that of each class."""
    classes = sorted({box.label for box in truth})
    by_class = {
        label: float(
            np.mean(
                [
                    average_precision(
                        [b for b in found if b.label == label],
                        [b for b in truth if b.label == label],
                        least,
                    )
                    for least in overlaps
                ]
            )
        )
        for label in classes
    }
    return float(np.mean(list(by_class.values()))), by_class
