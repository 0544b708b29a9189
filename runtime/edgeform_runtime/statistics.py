"""What was asked of the model over HTTP and how long each part took, as the statistics extension tells it.

Source: Triton Inference Server, docs/protocol/extension_statistics.md. Nothing is cached here, so cache hits
are always none; frames that a pipeline captures are no requests and stand in `/metrics`.
"""

import threading
import time
from typing import Any, Dict, List, Tuple

_PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_COMPUTED = _PARTS[3:]


class Statistics:
    """Counts and nanoseconds for each model and version that answered, since the process began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: Dict[Tuple[str, str], _Counted] = {}

    def succeeded(self, model: Tuple[str, str], batch: int, ns: Tuple[int, int, int, int]) -> None:
        """One answered request; `ns` of queue, input, inference and output."""
        with self._lock:
            self._of(model).succeed(batch, ns)

    def failed(self, model: Tuple[str, str], ns: int) -> None:
        with self._lock:
            counted = self._of(model)
            counted.last_ms = int(time.time() * 1000)
            counted.add("fail", ns)

    def to_json(self, name: str, model: Tuple[str, str]) -> Dict[str, Any]:
        """`$model_stat` of one model, under the name it was asked for by."""
        with self._lock:
            return {"name": name, "version": model[1], **self._of(model).to_json()}

    def _of(self, model: Tuple[str, str]) -> "_Counted":
        return self._models.setdefault(model, _Counted())


class _Counted:
    def __init__(self) -> None:
        self.last_ms = 0
        self.inferences = 0
        self.executions = 0
        self._parts: Dict[str, List[int]] = {name: [0, 0] for name in _PARTS}
        self._batches: Dict[int, Dict[str, List[int]]] = {}

    def add(self, part: str, ns: int) -> None:
        counted = self._parts[part]
        counted[0] += 1
        counted[1] += ns

    def succeed(self, batch: int, ns: Tuple[int, int, int, int]) -> None:
        self.last_ms = int(time.time() * 1000)
        self.inferences += batch
        self.executions += 1
        self.add("success", sum(ns))
        for part, spent in zip(_PARTS[2:], ns):
            self.add(part, spent)
        of_batch = self._batches.setdefault(batch, {name: [0, 0] for name in _COMPUTED})
        for part, spent in zip(_COMPUTED, ns[1:]):
            of_batch[part][0] += 1
            of_batch[part][1] += spent

    def to_json(self) -> Dict[str, Any]:
        return {
            "last_inference": self.last_ms,
            "inference_count": self.inferences,
            "execution_count": self.executions,
            "inference_stats": {
                **{name: _duration(counted) for name, counted in self._parts.items()},
                "cache_hit": _duration([0, 0]),
                "cache_miss": _duration([0, 0]),
            },
            "batch_stats": [
                {"batch_size": size, **{name: _duration(c) for name, c in parts.items()}}
                for size, parts in sorted(self._batches.items())
            ],
        }


def _duration(counted: List[int]) -> Dict[str, int]:
    return {"count": counted[0], "ns": counted[1]}
