"""Reports to a broker: each is kept on disk first, and sent in order when somebody takes it.

A broker that is away for days costs disk up to the spool's limit and then the oldest reports; the next
one that arrives says which numbers are gone. Receipts are sent before reports, and never go.
"""

import os
import threading
import time
from collections import Counter
from typing import Any, Dict, List, Optional
from typing import Counter as CounterType

from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.frames import Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.report import Remote
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.mqtt.link import Link
from edgeform_runtime.stages.report.device import device_health
from edgeform_runtime.stages.report.profiles import Outgoing, Profile, method_answer
from edgeform_runtime.stages.report.receipts import Receipts
from edgeform_runtime.stages.report.spool import Spool
from edgeform_runtime.stages.report.update import update_status

SCHEMA = "edgeform.report/1"
MAX_WALLS = 4096
MAX_LABELS = 64
SEND_S = 10.0
PAUSES_S = (1.0, 60.0)
IDLE_S = 1.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class RemoteReporter:
    """Collects results; `write` spools a report; a thread of its own carries the spool to the broker."""

    def __init__(self, stage: Remote, place: Place, number: int) -> None:
        self._stage, self._place = stage, place
        self.every_s = stage.every_s
        self._profile = Profile(kind=stage.profile, name=stage.name or place.device, place=place)
        # Below the pipeline's own results: the one folder that its service may write to.
        self._folder = os.path.join(place.prefix, "results", place.pipeline, f"spool-{number}")
        self._link = Link(
            stage.broker,
            place.secrets,
            self._profile.client_id(number),
            username=self._profile.username(stage.broker.host) or None,
        )
        for topic in self._profile.answers():
            self._link.subscribe(topic, self._answered)
        self._lock = threading.Lock()
        self._collected = _Period()
        self._spool: Optional[Spool] = None
        self._spool_lock = threading.Lock()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: Optional[threading.Thread] = None

    def add(self, inferred: Inferred) -> None:
        with self._lock:
            self._collected.add(inferred)

    def write(self) -> None:
        """Spool the period's report. A disk that does not take it is counted; the number shows as a gap."""
        with self._lock:
            period, self._collected = self._collected, _Period()
        try:
            with self._spool_lock:
                spool = self._opened()
                spool.append(self._report(period))
                self._gauge(spool)
        except OSError as exc:
            self._count("failed")
            log("error", "report_not_spooled", reason=exc.strerror or str(exc))
        if self._thread is None and not self._ending.is_set():
            self._thread = threading.Thread(target=self._carry, name="report-send", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Give what waits a moment to leave; the rest leaves after the next start."""
        deadline = time.monotonic() + timeout_s
        while self._link.is_connected and time.monotonic() < deadline:
            with self._spool_lock:
                if self._spool is None or self._spool.peek() is None:
                    break
            time.sleep(0.02)
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(max(0.1, deadline - time.monotonic()))
        self._link.close()

    def _opened(self) -> Spool:
        if self._spool is None:
            self._spool = Spool(self._folder, self._stage.spool_bytes)
        return self._spool

    def _report(self, period: "_Period") -> Dict[str, Any]:
        found: Dict[str, Any] = {
            "schema": SCHEMA,
            "site": self._place.site,
            "device": self._place.device,
            "pipeline": self._place.pipeline,
            "time": round(time.time(), 3),
            "boot_id": _boot_id(),
            "boot_s": round(time.clock_gettime(time.CLOCK_BOOTTIME), 3),
            "generation": self._place.generation,
            "generation_digest": self._place.generation_digest,
            "model": self._place.model_ref,
            "update": update_status(self._place.prefix),
            "device_health": device_health(self._place.prefix),
            "period_s": self.every_s,
        }
        found.update(self._place.condition())
        found.update(period.summary())
        if self._place.metrics is not None:
            frames = self._place.metrics.frames()
            found.update(failed=frames["failed"], dropped=frames["dropped"])
        return found

    def _carry(self) -> None:
        pause_s = PAUSES_S[0]
        receipts: Optional[Receipts] = None
        while not self._ending.is_set():
            try:
                with self._spool_lock:
                    spool = self._opened()
                receipts = receipts or Receipts(
                    os.path.join(self._place.prefix, "receipts.jsonl"), self._folder
                )
                is_idle = not self._send_receipt(receipts) and not self._send_report(spool)
                pause_s = PAUSES_S[0]
                if is_idle:
                    self._wake.wait(IDLE_S)
                    self._wake.clear()
            except (OSError, RuntimeFault) as exc:
                self._count("failed")
                log("warning", "report_not_sent", reason=str(exc), again_s=pause_s)
                self._ending.wait(pause_s)
                pause_s = min(2 * pause_s, PAUSES_S[1])

    def _send_receipt(self, receipts: Receipts) -> bool:
        found = receipts.peek()
        if found is None:
            return False
        seq, line = found
        self._send(self._profile.receipt(line))
        receipts.taken(seq)
        return True

    def _send_report(self, spool: Spool) -> bool:
        with self._spool_lock:
            found = spool.peek()
        if found is None:
            return False
        report = {**found.record, "seq": found.seq, "gap": None}
        if found.lost_from:
            report["gap"] = {"from": found.lost_from, "to": found.seq - 1}
        for message in self._profile.report(report):
            self._send(message)
        with self._spool_lock:
            spool.taken(found.seq)
            self._gauge(spool)
        self._count("ok")
        return True

    def _send(self, message: Outgoing) -> None:
        self._link.publish(message.topic, message.payload, qos=1, retain=False, timeout_s=SEND_S)
        if self._place.metrics is not None:
            size = float(len(message.payload))
            self._place.metrics.egress.add(size, kind=f"report_{self._stage.profile}")

    def _answered(self, topic: str, payload: bytes) -> None:
        if topic.startswith("$iothub/methods/"):
            self._link.answer(method_answer(topic), b"{}")
        elif not topic.startswith("$iothub/twin/res/2"):
            self._count("rejected")
            said = payload[:500].decode("utf-8", "replace")
            log("warning", "report_rejected", topic=topic[-200:], answer=said)

    def _count(self, outcome: str) -> None:
        if self._place.metrics is not None:
            self._place.metrics.reports.add(kind=self._stage.profile, outcome=outcome)

    def _gauge(self, spool: Spool) -> None:
        if self._place.metrics is not None:
            self._place.metrics.spool.set(float(spool.size_bytes), kind=self._stage.profile)


class _Period:
    """What came in since the last report."""

    def __init__(self) -> None:
        self._count = 0
        self._labels: CounterType[str] = Counter()
        self._walls: List[float] = []
        self._last: Optional[Inferred] = None

    def add(self, inferred: Inferred) -> None:
        self._count += 1
        self._last = inferred
        for label in _labels(inferred.result):
            if label in self._labels or len(self._labels) < MAX_LABELS:
                self._labels[label] += 1
        if len(self._walls) < MAX_WALLS:
            self._walls.append(inferred.seconds["infer"])

    def summary(self) -> Dict[str, Any]:
        walls, last = sorted(self._walls), self._last
        found: Dict[str, Any] = {
            "results": self._count,
            "labels": dict(self._labels),
            "p50_ms": _percentile_ms(walls, 0.5),
            "p95_ms": _percentile_ms(walls, 0.95),
        }
        if last is not None:
            found.update(model=last.model_ref, generation=last.generation)
        return found


def _percentile_ms(walls: List[float], share: float) -> Optional[float]:
    return round(walls[int(share * (len(walls) - 1))] * 1000, 3) if walls else None


def _labels(result: Dict[str, Any]) -> List[str]:
    if result.get("classes"):
        return [str(result["classes"][0]["label"])]
    items = result.get("detections") or result.get("entities") or ()
    return [str(item["label"]) for item in items]


def _boot_id() -> str:
    try:
        with open(BOOT_ID, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""
