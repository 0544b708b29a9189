"""A second model that sees one in N frames and never acts: how often it says the same is counted.

It has a thread and a place for one frame; a frame that comes while it is busy is left out, and counted so.
"""

import threading
from typing import Any, Dict, Optional

from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.frames import BoundedQueue, Frame
from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline.beside import Shadow
from edgeform_runtime.slots import Slots
from edgeform_wire.companions import SHADOW

POLL_S = 0.5


def same(live: Dict[str, Any], other: Dict[str, Any]) -> bool:
    """Whether two results tell people the same: the best class, the labels found, the spans, the alarm.

    Scores and boxes may differ: two models of one kind never agree in the last digit.
    """
    for name in ("classes", "detections", "entities"):
        if name in live or name in other:
            return bool(_told(live, name) == _told(other, name))
    keys = [k for k in ("kind", "is_anomaly", "is_over") if k in live or k in other]
    return [live.get(k) for k in keys] == [other.get(k) for k in keys]


def _told(result: Dict[str, Any], name: str) -> Any:
    items = result.get(name) or []
    if name == "classes":
        return [item.get("label") for item in items[:1]]
    if name == "entities":
        return [(item.get("label"), item.get("start"), item.get("end")) for item in items]
    return sorted(str(item.get("label")) for item in items)


class Watcher:
    """Compares one in N frames; does nothing where the pipeline has no shadow."""

    def __init__(self, shadow: Optional[Shadow], slots: Slots, metrics: Metrics) -> None:
        self._shadow, self._slots, self._metrics = shadow, slots, metrics
        self._seen = 0
        self._waiting: BoundedQueue[Any] = BoundedQueue(1, "drop_latest", self._left_out)
        self._stopped = threading.Event()

    @property
    def is_wanted(self) -> bool:
        return self._shadow is not None

    def offer(self, frame: Frame, result: Dict[str, Any]) -> None:
        """Show it a frame with the live model's result; returns at once."""
        if self._shadow is None:
            return
        self._seen += 1
        if self._seen % self._shadow.every == 0:
            self._waiting.put((frame.name, frame.content, result))

    def run(self) -> None:
        """The thread's body, until `stop`."""
        while not self._stopped.is_set():
            found = self._waiting.get(POLL_S)
            if found is not None:
                self._compare(*found)
            elif self._waiting.is_closed:
                return

    def stop(self) -> None:
        self._stopped.set()
        self._waiting.close()

    def to_json(self) -> Optional[Dict[str, Any]]:
        """For state and reports; None without a shadow."""
        if self._shadow is None:
            return None
        counts = {
            outcome: int(self._metrics.shadow.total(outcome=outcome))
            for outcome in ("agreed", "differed", "failed", "left_out")
        }
        return dict(counts, model_ref=self._shadow.companion.model_ref, every=self._shadow.every)

    def _compare(self, name: str, content: bytes, live: Dict[str, Any]) -> None:
        try:
            with self._slots.using(SHADOW) as model:
                seen = model.look(content)
                other = model.result(model.infer(seen.feeds), seen)
        except RuntimeFault as exc:
            self._count("failed")
            log("warning", "shadow_failed", frame=name, detail=exc.summary)
            return
        self._count("agreed" if same(live, other) else "differed")

    def _left_out(self, item: Any) -> None:
        del item
        self._count("left_out")

    def _count(self, outcome: str) -> None:
        if self._shadow is not None:
            self._metrics.shadow.add(variant=self._shadow.companion.model_ref, outcome=outcome)
