"""Reports: results, not raw data. A summary line per period on standard output."""

import threading
from collections import Counter
from typing import Counter as CounterType
from typing import Dict, List, Optional

from edgeform_runtime.frames import Inferred
from edgeform_runtime.logs import report

MAX_KEPT = 4096


class SummaryLines:
    """Collects results and writes one line per period: counts per label, latency, the last result."""

    def __init__(self, pipeline: str, every_s: float) -> None:
        self._pipeline = pipeline
        self.every_s = every_s
        self._lock = threading.Lock()
        self._labels: CounterType[str] = Counter()
        self._walls: List[float] = []
        self._count = 0
        self._last: Optional[Inferred] = None

    def add(self, inferred: Inferred) -> None:
        classes = inferred.result.get("classes", [])
        with self._lock:
            self._count += 1
            self._last = inferred
            if classes:
                self._labels[str(classes[0]["label"])] += 1
            if len(self._walls) < MAX_KEPT:
                self._walls.append(inferred.seconds["infer"])

    def start(self) -> None:
        """There is nothing to begin."""

    def close(self, timeout_s: float) -> None:
        """Nothing is kept open."""

    def write(self) -> None:
        """Write the period's line and start the next period."""
        with self._lock:
            labels, walls = dict(self._labels), sorted(self._walls)
            count, last = self._count, self._last
            self._labels.clear()
            self._walls.clear()
            self._count, self._last = 0, None
        fields: Dict[str, object] = {"labels": labels}
        if last is not None:
            fields["last"] = {"frame": last.frame.name, "result": last.result}
        report(
            "report",
            pipeline=self._pipeline,
            period_s=self.every_s,
            results=count,
            p50_ms=round(walls[len(walls) // 2] * 1000, 3) if walls else None,
            **{name: dict(value) for name, value in fields.items() if isinstance(value, dict)},
        )
