"""Figures of a variant against labels and against the reference: pure numpy, no engine.

Accuracy is the task's metric: the share of right classes; for detection the mean over samples of the F1 of
boxes (same class, IoU of at least 0.5). Agreement is the same measure with the reference's results in place
of the labels; without a task, the share of samples whose outputs point the same way (cosine of 0.99).
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from edgeform_builder.tensors import Array

CLASSIFICATION, DETECTION = "classification", "detection"
IOU = 0.5
SAME_DIRECTION = 0.99
EDGES = tuple(10.0 ** (n / 2) for n in range(-14, 1))
"""Of the histogram: the largest deviation of a sample over the range of its reference outputs."""


@dataclass(frozen=True)
class Answers:
    """What a model said: real outputs of each sample, flat, and the pipeline's result of each."""

    outputs: Tuple[Array, ...]
    results: Tuple[Mapping[str, Any], ...]


def figures(
    task: str,
    labels: Sequence[Any],
    names: Sequence[str],
    said: Answers,
    reference: Optional[Answers],
) -> Dict[str, Any]:
    """Accuracy, and against a reference agreement, SQNR, deviations and classes."""
    right = [_right(task, result, label) for result, label in zip(said.results, labels)]
    found: Dict[str, Any] = {
        "samples": len(said.results),
        "accuracy": None if task not in (CLASSIFICATION, DETECTION) else _mean(right),
        "non_finite": sum(not np.isfinite(o).all() for o in said.outputs),
        "constant": _is_constant(said.outputs),
    }
    if reference is None:
        return found
    was_right = [_right(task, result, label) for result, label in zip(reference.results, labels)]
    alike = [
        _alike(task, one, other, a, b)
        for one, other, a, b in zip(
            said.results, reference.results, said.outputs, reference.outputs
        )
    ]
    deviations = [_deviation(a, b) for a, b in zip(said.outputs, reference.outputs)]
    found.update(
        {
            "reference_accuracy": None if found["accuracy"] is None else _mean(was_right),
            "worse": sum(b > a for a, b in zip(right, was_right)),
            "better": sum(a > b for a, b in zip(right, was_right)),
            "agreement": _mean(alike),
            "sqnr_db": sqnr_db(said.outputs, reference.outputs),
            "max_relative": max(deviations),
            "histogram": {
                "edges": [float(f"{edge:.3g}") for edge in EDGES],
                "counts": _histogram(deviations),
            },
            "per_class": _per_class(task, labels, right, was_right, alike),
            "worst": _worst(names, alike, deviations),
        }
    )
    return found


def sqnr_db(outputs: Sequence[Array], reference: Sequence[Array]) -> float:
    """Signal to quantisation noise over all samples and outputs; -300 to 300."""
    signal = noise = 0.0
    for got, want in zip(outputs, reference):
        if got.shape != want.shape or not np.isfinite(got).all():
            return -300.0
        wide = want.astype(np.float64)
        signal += float((wide**2).sum())
        noise += float(((wide - got.astype(np.float64)) ** 2).sum())
    if noise == 0.0:
        return 300.0
    if signal == 0.0:
        return -300.0
    return float(np.clip(10 * np.log10(signal / noise), -300.0, 300.0))


def _deviation(got: Array, want: Array) -> float:
    if got.shape != want.shape or not np.isfinite(got).all():
        return 1.0
    spread = float(want.max() - want.min()) or 1.0
    return min(1.0, float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max()) / spread)


def _is_constant(outputs: Sequence[Array]) -> bool:
    return len(outputs) > 1 and all(
        o.shape == outputs[0].shape and (o == outputs[0]).all() for o in outputs
    )


def _right(task: str, result: Mapping[str, Any], label: Any) -> float:
    if task == CLASSIFICATION:
        return float(label_of(result) == str(label))
    if task == DETECTION:
        return _f1(_boxes(result), [(b["label"], b["box"]) for b in label or ()])
    return 1.0


def _alike(
    task: str, one: Mapping[str, Any], other: Mapping[str, Any], a: Array, b: Array
) -> float:
    if task == CLASSIFICATION:
        return float(label_of(one) == label_of(other))
    if task == DETECTION:
        return _f1(_boxes(one), _boxes(other))
    if a.shape != b.shape or not np.isfinite(a).all():
        return 0.0
    length = float(np.linalg.norm(a.astype(np.float64)) * np.linalg.norm(b.astype(np.float64)))
    if length == 0.0:
        return float((a == b).all())
    return float(float(np.dot(a.astype(np.float64), b)) / length >= SAME_DIRECTION)


def label_of(result: Mapping[str, Any]) -> Optional[str]:
    """The best class of a classification result; None when it names none."""
    classes = result.get("classes") or [{}]
    label = classes[0].get("label")
    return None if label is None else str(label)


def _boxes(result: Mapping[str, Any]) -> List[Tuple[str, Sequence[float]]]:
    return [(str(d["label"]), d["box"]) for d in result.get("detections", ())]


def _f1(
    found: List[Tuple[str, Sequence[float]]], wanted: List[Tuple[str, Sequence[float]]]
) -> float:
    """F1 of boxes against boxes, each matched once, the best overlap first; 1.0 when both are empty."""
    if not found and not wanted:
        return 1.0
    pairs = sorted(
        (
            (-_iou(f[1], w[1]), n, m)
            for n, f in enumerate(found)
            for m, w in enumerate(wanted)
            if f[0] == w[0] and _iou(f[1], w[1]) >= IOU
        ),
    )
    taken_found, taken_wanted = set(), set()
    for _, n, m in pairs:
        if n not in taken_found and m not in taken_wanted:
            taken_found.add(n)
            taken_wanted.add(m)
    return 2 * len(taken_found) / (len(found) + len(wanted))


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - both
    return both / area if area > 0 else 0.0


def _histogram(deviations: Sequence[float]) -> List[int]:
    """How many samples deviate by at most each edge and more than the one before; the last takes the rest."""
    counts = [0] * len(EDGES)
    for value in deviations:
        place = int(np.searchsorted(np.asarray(EDGES), value, side="left"))
        counts[min(place, len(EDGES) - 1)] += 1
    return counts


def _per_class(
    task: str,
    labels: Sequence[Any],
    right: Sequence[float],
    was_right: Sequence[float],
    alike: Sequence[float],
) -> List[Dict[str, Any]]:
    if task != CLASSIFICATION:
        return []
    found = []
    for label in sorted({str(label) for label in labels}):
        at = [n for n, one in enumerate(labels) if str(one) == label]
        found.append(
            {
                "label": label,
                "samples": len(at),
                "accuracy": _mean([right[n] for n in at]),
                "reference_accuracy": _mean([was_right[n] for n in at]),
                "agreement": _mean([alike[n] for n in at]),
            }
        )
    return found


def _worst(
    names: Sequence[str], alike: Sequence[float], deviations: Sequence[float]
) -> List[Dict[str, Any]]:
    order = sorted(range(len(names)), key=lambda n: (alike[n], -deviations[n], n))[:5]
    return [
        {"file": names[n], "agrees": alike[n] == 1.0, "max_relative": _rounded(deviations[n])}
        for n in order
    ]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
