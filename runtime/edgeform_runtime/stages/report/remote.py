"""Reports to a broker: each is kept on disk first, and sent in order when somebody takes it.

A broker that is away for days costs disk up to the spool's limit and then the oldest reports; the next
one that arrives says which numbers are gone. Receipts are sent before reports, and never go.
"""

import os
import threading
import time
from collections import Counter, deque
from typing import Any, Deque, Dict, List, Optional, Tuple
from typing import Counter as CounterType

from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.frames import Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.report import COMMANDS, Remote
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.report import conversation
from edgeform_runtime.stages.report.asks import BUSY, REPORT, STATUS, Answer, Ask
from edgeform_runtime.stages.report.device import device_health
from edgeform_runtime.stages.report.profiles import Outgoing, Profile
from edgeform_runtime.stages.report.receipts import Receipts
from edgeform_runtime.stages.report.spool import Spool
from edgeform_runtime.stages.report.update import update_status

SCHEMA = "edgeform.report/1"
MAX_WALLS = 4096
MAX_LABELS = 64
MAX_ASKS = 8
SEND_S = 10.0
PAUSES_S = (1.0, 60.0)
IDLE_S = 1.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class RemoteReporter:
    """Collects results; `write` spools a report; a thread of its own carries the spool to the broker."""

    def __init__(self, stage: Remote, place: Place, number: int) -> None:
        self._stage, self.place = stage, place
        self.every_s = stage.every_s
        self._profile = Profile(
            kind=stage.profile,
            name=stage.name or place.device,
            place=place,
            may_be_asked=bool(stage.commands),
        )
        # Below the pipeline's own results: the one folder that its service may write to.
        self._folder = os.path.join(place.prefix, "results", place.pipeline, f"spool-{number}")
        self._link = place.link(stage.broker)
        name = self._profile.client_id
        if name is not None:
            self._link.identify(name, self._profile.username(stage.broker.host) or None)
        for topic in conversation.topics(self._profile):
            self._link.subscribe(topic, self._told)
        self._link.when_connected(self._greet)
        self._asks: Deque[Ask] = deque()
        self._stale: Tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._collected = _Period()
        self._spool: Optional[Spool] = None
        self._spool_lock = threading.Lock()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Begin to carry: what an earlier process left on disk, receipts, and answers."""
        if self._thread is None and not self._ending.is_set():
            self._thread = threading.Thread(target=self._carry, name="report-send", daemon=True)
            self._thread.start()

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
        self.start()
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

    def _opened(self) -> Spool:
        if self._spool is None:
            self._spool = Spool(self._folder, self._stage.spool_bytes)
        return self._spool

    def _report(self, period: "_Period") -> Dict[str, Any]:
        found: Dict[str, Any] = {
            "schema": SCHEMA,
            "site": self.place.site,
            "device": self.place.device,
            "pipeline": self.place.pipeline,
            "time": round(time.time(), 3),
            "boot_id": _boot_id(),
            "boot_s": round(time.clock_gettime(time.CLOCK_BOOTTIME), 3),
            "period_s": self.every_s,
            **self._identity(),
            **period.summary(),
        }
        found.update(self.place.condition())
        if self.place.metrics is not None:
            frames = self.place.metrics.frames()
            found.update(failed=frames["failed"], dropped=frames["dropped"])
            found.update(drift=self.place.metrics.drift())
        return found

    def _identity(self) -> Dict[str, Any]:
        """What serves now, also after a swap, and how an update stands."""
        generation, digest, model = self.place.serving()
        return {
            "generation": generation,
            "generation_digest": digest,
            "model": model,
            "update": update_status(self.place.prefix),
            "device_health": device_health(self.place.prefix),
        }

    def _carry(self) -> None:
        pause_s = PAUSES_S[0]
        receipts: Optional[Receipts] = None
        while not self._ending.is_set():
            try:
                with self._spool_lock:
                    spool = self._opened()
                receipts = receipts or Receipts(
                    os.path.join(self.place.prefix, "receipts.jsonl"), self._folder
                )
                self._link.start()
                is_idle = not (
                    self._answer() or self._send_receipt(receipts) or self._send_report(spool)
                )
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
        stale, self._stale = self._stale, ()
        for message in self._profile.report(report, stale):
            self._send(message)
        with self._spool_lock:
            spool.taken(found.seq)
            self._gauge(spool)
        self._count("ok")
        return True

    def _send(self, message: Outgoing) -> None:
        self._link.publish(message.topic, message.payload, qos=1, retain=False, timeout_s=SEND_S)
        broker = self._stage.broker
        self.place.sent(
            f"report_{self._stage.profile}", f"{broker.host}:{broker.port}", len(message.payload)
        )

    def _greet(self) -> None:
        for message in conversation.hello(self._profile):
            self._link.answer(message.topic, message.payload, 1)

    def _told(self, topic: str, payload: bytes) -> None:
        """On the connection's own thread: nothing here waits."""
        found = conversation.heard(self._profile, topic, payload)
        if found.rejected:
            self._count("rejected")
            log("warning", "report_rejected", topic=topic[-200:], answer=found.rejected)
        self._stale = found.stale or self._stale
        for message in found.again:
            self._link.answer(message.topic, message.payload, 1)
        if found.ask is not None:
            if len(self._asks) >= MAX_ASKS:
                busy = Answer(BUSY, {"reason": "too many questions wait already"})
                for message in conversation.answer(self._profile, found.ask, busy):
                    self._link.answer(message.topic, message.payload, 1)
                return
            self._asks.append(found.ask)
            self._wake.set()

    def _answer(self) -> bool:
        """Answer one question; whether there was one. It is forgotten when the broker goes meanwhile."""
        if not self._asks:
            return False
        ask = self._asks.popleft()
        own = {REPORT: self._report_now, STATUS: self._status}
        said = self.place.desk.answer(ask, self._stage.commands, own)
        log("info", "asked", operation=ask.operation[:60], via=ask.via, status=said.status)
        if self.place.metrics is not None:
            known = ask.operation if ask.operation in COMMANDS else "unknown"
            self.place.metrics.asks.add(operation=known, status=str(said.status))
        for message in conversation.answer(self._profile, ask, said):
            self._send(message)
        return True

    def _report_now(self) -> Dict[str, Any]:
        self.write()
        return {"spooled": True}

    def _status(self) -> Dict[str, Any]:
        return self._identity()

    def _count(self, outcome: str) -> None:
        if self.place.metrics is not None:
            self.place.metrics.reports.add(kind=self._stage.profile, outcome=outcome)

    def _gauge(self, spool: Spool) -> None:
        if self.place.metrics is not None:
            self.place.metrics.spool.set(float(spool.size_bytes), kind=self._stage.profile)


class _Period:
    """What came in since the last report."""

    def __init__(self) -> None:
        self._count = 0
        self._labels: CounterType[str] = Counter()
        self._walls: List[float] = []

    def add(self, inferred: Inferred) -> None:
        self._count += 1
        for label in _labels(inferred.result):
            if label in self._labels or len(self._labels) < MAX_LABELS:
                self._labels[label] += 1
        if len(self._walls) < MAX_WALLS:
            self._walls.append(inferred.seconds["infer"])

    def summary(self) -> Dict[str, Any]:
        walls = sorted(self._walls)
        return {
            "results": self._count,
            "labels": dict(self._labels),
            "p50_ms": _percentile_ms(walls, 0.5),
            "p95_ms": _percentile_ms(walls, 0.95),
        }


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
