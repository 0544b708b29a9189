"""Whether inputs still look as they did when the model was made: a window of them against the reference.

A few numbers per input tensor, each with a histogram in the model artifact; the stability index (PSI) of the
window against it is a metric, stands in reports, and may make a capture. At most so many inputs a second are
looked at, so that watching costs next to nothing at any frame rate.
"""

import bisect
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, List, Mapping, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import ModelRefused
from edgeform_runtime.metrics import Metrics
from edgeform_wire import reference
from edgeform_wire.errors import WireError
from edgeform_wire.reference import Reference

WINDOW = 500
LEAST = 100
EVERY_S = 0.2
JUDGED_EVERY = 20
MAX_CHANNELS = 4
"""More channels are no colours or axes, and are looked at together."""


@dataclass(frozen=True)
class Drift:
    """The feature that moved most; up to `chance_level` its index may well be chance."""

    feature: str
    psi: float
    inputs: int
    chance_level: float

    def to_json(self) -> Dict[str, object]:
        return {
            "feature": self.feature,
            "psi": round(self.psi, 4),
            "inputs": self.inputs,
            "is_shifted": self.is_shifted,
        }

    @property
    def is_shifted(self) -> bool:
        return self.psi > max(reference.SHIFTED, self.chance_level)


def features_of(feeds: Mapping[str, Array]) -> Dict[str, float]:
    """Mean and spread of the first input, for each channel where it has a few, and of all of it together."""
    tensor = np.asarray(next(iter(feeds.values())))
    if tensor.dtype == np.bool_:
        tensor = tensor.astype(np.uint8)
    found = {"mean": float(tensor.mean(dtype=np.float64)), "spread": _spread(tensor)}
    axis = _channel_axis(tensor.shape)
    if axis is not None:
        for number in range(tensor.shape[axis]):
            channel = tensor.take(number, axis)
            found[f"mean.{number}"] = float(channel.mean(dtype=np.float64))
            found[f"spread.{number}"] = _spread(channel)
    return found


def _spread(tensor: Array) -> float:
    return float(tensor.std(dtype=np.float64))


def _channel_axis(shape: Tuple[int, ...]) -> Optional[int]:
    """The axis behind the batch that is short enough for channels, the last before the first."""
    candidates = [n for n in (len(shape) - 1, 1) if 0 < n < len(shape)]
    fitting = [n for n in candidates if 1 < shape[n] <= MAX_CHANNELS and len(shape) > 2]
    return fitting[0] if fitting else None


def reference_in(model_tree: str, preprocess_digest: str) -> Optional[Reference]:
    """The reference of a model artifact, if it has one that fits this preprocessing.

    Raises:
        ModelRefused: it has one that cannot be read.
    """
    try:
        with open(os.path.join(model_tree, *reference.PATH.split("/")), "rb") as stream:
            found = reference.decode(stream.read(1024 * 1024))
    except FileNotFoundError:
        return None
    except (OSError, WireError) as exc:
        raise ModelRefused(f"{reference.PATH} cannot be read: {exc}") from exc
    return found if found.preprocess_digest == preprocess_digest else None


class DriftWatch:
    """The window of one pipeline; another model begins a new one. `add` is called by one thread."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._model: object = None
        self._reference: Optional[Reference] = None
        self._bins: List[Deque[int]] = []
        self._counts: List[List[int]] = []
        self._next = 0.0
        self._unjudged = 0
        self._lock = threading.Lock()
        self._latest: Optional[Drift] = None

    def latest(self) -> Optional[Drift]:
        with self._lock:
            return self._latest

    def add(self, model: object, held: Optional[Reference], feeds: Mapping[str, Array]) -> bool:
        """Look at an input, if it is time for one; whether the index was computed anew."""
        if model is not self._model:
            self._begin(model, held)
        if self._reference is None:
            return False
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + EVERY_S
        values = features_of(feeds)
        for feature, bins, counts in zip(self._reference.features, self._bins, self._counts):
            # A feature this runtime does not compute stays empty and is never judged.
            if feature.name in values:
                place = bisect.bisect_right(feature.edges, values[feature.name])
                if len(bins) == bins.maxlen:
                    counts[bins[0]] -= 1
                bins.append(place)
                counts[place] += 1
        self._unjudged += 1
        return self._unjudged >= JUDGED_EVERY and self._judged()

    def _begin(self, model: object, held: Optional[Reference]) -> None:
        self._model, self._reference = model, held
        features = () if held is None else held.features
        self._bins = [deque(maxlen=WINDOW) for _ in features]
        self._counts = [[0] * len(feature.counts) for feature in features]
        self._unjudged = 0
        self._metrics.psi.clear()
        self._metrics.drifted.clear()
        with self._lock:
            self._latest = None

    def _judged(self) -> bool:
        held = self._reference
        if held is None or not self._bins or max(len(bins) for bins in self._bins) < LEAST:
            return False
        self._unjudged = 0
        worst: Optional[Drift] = None
        for feature, bins, counts in zip(held.features, self._bins, self._counts):
            if not bins:
                continue
            psi = reference.psi(feature.counts, counts)
            self._metrics.psi.set(round(psi, 6), feature=feature.name)
            level = reference.chance_level(len(counts), held.inputs, len(bins))
            found = Drift(feature.name, psi, len(bins), level)
            if worst is None or found.psi - level > worst.psi - worst.chance_level:
                worst = found
        if worst is not None:
            self._metrics.drifted.set(1.0 if worst.is_shifted else 0.0)
        with self._lock:
            self._latest = worst
        return worst is not None
