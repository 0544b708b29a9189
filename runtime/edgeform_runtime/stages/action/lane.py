"""A thread of its own for each action that another machine must take, so that none can stop inference.

A result waits in a bounded queue, is tried a few times with growing pauses, and is then given up and
counted. What is still waiting when the process ends is counted as dropped.
"""

import threading
import time
from typing import Callable

from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.frames import BoundedQueue, Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.action import Delivery
from edgeform_runtime.stages.contract import Refused, Sink

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
POLL_S = 0.5
Count = Callable[[str, str], None]


class Lane:
    """Takes results at once and delivers them when it can.

    Args:
        count: gets (kind, outcome): ok, failed, dropped or retried.
        on_error: gets a sentence for `last_error`.
        pause_s: before the first further attempt; doubled each time.
    """

    def __init__(
        self,
        sink: Sink,
        delivery: Delivery,
        *,
        count: Count,
        on_error: Callable[[str], None],
        pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.kind = sink.kind
        self._sink, self._delivery, self._pause_s = sink, delivery, pause_s
        self._count, self._on_error = count, on_error
        self._ending = threading.Event()
        self._queue: BoundedQueue[Inferred] = BoundedQueue(
            delivery.queue, "drop_oldest", self._dropped
        )
        self._thread = threading.Thread(target=self._run, name=f"action-{sink.kind}", daemon=True)
        self._thread.start()

    def put(self, inferred: Inferred) -> None:
        """Take the result; never waits, never fails."""
        self._queue.put(inferred)

    def close(self, timeout_s: float) -> None:
        """One attempt for each of what waits, within the time; the rest is dropped and counted."""
        deadline = time.monotonic() + timeout_s
        self._ending.set()
        self._queue.close()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        while True:
            left = self._queue.get(0.0)
            if left is None:
                break
            self._dropped(left)

    def _run(self) -> None:
        while True:
            inferred = self._queue.get(POLL_S)
            if inferred is None:
                if self._queue.is_closed:
                    self._sink.close()
                    return
                self._idle()
                continue
            try:
                self._deliver(inferred)
            except Exception as exc:  # noqa: BLE001 - an unforeseen fault costs this result, not the lane
                self._failed(inferred, f"{type(exc).__name__}: {exc}")

    def _deliver(self, inferred: Inferred) -> None:
        pause_s = self._pause_s
        for attempt in range(self._delivery.retries + 1):
            try:
                self._sink.write(inferred)
            except Refused as exc:
                self._failed(inferred, exc.summary)
                return
            except (OSError, RuntimeFault) as exc:
                reason = exc.summary if isinstance(exc, RuntimeFault) else _words(exc)
            else:
                self._count(self.kind, "ok")
                return
            if attempt == self._delivery.retries or self._ending.wait(pause_s):
                break
            self._count(self.kind, "retried")
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._failed(inferred, reason)

    def _idle(self) -> None:
        try:
            self._sink.idle()
        except OSError as exc:
            self._count(self.kind, "failed")
            self._on_error(f"{self.kind}: {_words(exc)}")
            log("error", f"{self.kind}_failed", reason=_words(exc))

    def _failed(self, inferred: Inferred, reason: str) -> None:
        self._count(self.kind, "failed")
        self._on_error(f"{self.kind}: {reason}")
        log("error", f"{self.kind}_failed", frame=inferred.frame.name, reason=reason)

    def _dropped(self, inferred: Inferred) -> None:
        del inferred
        self._count(self.kind, "dropped")


def _words(exc: OSError) -> str:
    return exc.strerror or str(exc) or type(exc).__name__
