"""Driving many devices at once: bounded, journalled, stopped by the gate or by a person.

Each device advances by itself; none waits for another. A device is only begun while the gate says go
and nobody asked to stop; what has been begun is always followed to its end.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from edgeform.apply.outcome import Outcome, Pending
from edgeform.rollout.gate import Verdict, judge

POLL_S = 0.2
"""How often the waiting thread looks up, so that Ctrl-C is heard."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A person's wish to end: first finish what is in flight, then, asked again, let go of it."""

    asked: threading.Event = field(default_factory=threading.Event)
    at_once: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """The first call asks to stop, every further one to let go at once."""
        (self.at_once if self.asked.is_set() else self.asked).set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A rollout's outcomes, and whether all of them are in.

    Args:
        unfinished: devices that were let go of while in flight; they go on alone.
    """

    outcomes: tuple[Outcome, ...]
    unfinished: tuple[str, ...]
    verdict: Verdict


def drive(
    devices: Sequence[str],
    turn: Callable[[str], Outcome],
    *,
    max_parallel: int,
    stop: Stop,
    ended: Callable[[Outcome], None],
) -> Ended:
    """Give every device its turn; `ended` is called in this thread, once per device, as they end."""
    turns = _Turns(devices, turn, stop)
    workers = max(1, min(max_parallel, len(devices)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="device")
    running = [pool.submit(turns.work) for _ in range(workers)]
    outcomes: list[Outcome] = []
    try:
        while not stop.at_once.is_set():
            done = all(f.done() for f in running)
            outcome = turns.next_outcome(0.0 if done else POLL_S)
            if outcome is not None:
                outcomes.append(outcome)
                ended(outcome)
            elif done:
                break
    finally:
        turns.closed.set()
        pool.shutdown(wait=not stop.at_once.is_set(), cancel_futures=True)
    verdict = judge(outcomes)
    why = "the rollout was stopped by its gate" if verdict is Verdict.STOP else "stopped on request"
    for device in turns.not_begun():
        untouched = Pending(
            device=device, detail=f"not begun: {why}", hint="Apply the same plan again."
        )
        outcomes.append(untouched)
        ended(untouched)
    return Ended(outcomes=tuple(outcomes), unfinished=turns.unfinished(), verdict=verdict)


class _Turns:
    """The queue the threads take devices from, and the one their outcomes come back through."""

    def __init__(self, devices: Sequence[str], turn: Callable[[str], Outcome], stop: Stop) -> None:
        self._turn = turn
        self._stop = stop
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._arrived: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._in_flight: set[str] = set()
        self._lock = threading.Lock()
        self.closed = threading.Event()
        for device in devices:
            self._waiting.put(device)

    def work(self) -> None:
        """One thread: a device after the other, until there is none or nobody wants more."""
        while not self.closed.is_set() and not self._stop.asked.is_set():
            try:
                device = self._waiting.get_nowait()
            except queue.Empty:
                return
            with self._lock:
                self._in_flight.add(device)
            try:
                outcome = self._turn(device)
                if judge((outcome,)) is Verdict.STOP:
                    self.closed.set()  # here, before this thread takes another device
                self._arrived.put(outcome)
            except BaseException as exc:  # noqa: BLE001  # handed to the waiting thread, which raises it
                self._arrived.put(exc)
                return
            finally:
                with self._lock:
                    self._in_flight.discard(device)

    def next_outcome(self, timeout_s: float) -> Outcome | None:
        """The next outcome, or None if none came in time; a thread's exception is raised here."""
        try:
            found = self._arrived.get(block=timeout_s > 0, timeout=timeout_s or None)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def not_begun(self) -> tuple[str, ...]:
        left = []
        while not self._waiting.empty():
            left.append(self._waiting.get())
        return tuple(left)

    def unfinished(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._in_flight))
