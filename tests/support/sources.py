"""What a source told, and frames of it until a deadline, for tests of capture."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from edgeform_runtime.frames import Frame
from edgeform_runtime.stages.capture.following import Backoff
from edgeform_runtime.stages.contract import Notices, Source


@dataclass
class Heard:
    """Collects notices."""

    failures: list[str] = field(default_factory=list)
    losses: list[tuple[str, str]] = field(default_factory=list)
    findings: int = 0

    def notices(self) -> Notices:
        return Notices(
            failed=self.failures.append,
            lost=lambda reason, sentence: self.losses.append((reason, sentence)),
            found=self._found,
        )

    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.losses]

    def _found(self) -> None:
        self.findings += 1


def quick_backoff() -> Backoff:
    return Backoff(first_s=0.02, longest_s=0.1, chance=lambda: 0.0)


@dataclass
class Listening:
    """A source at work on a thread, and what came."""

    heard: Heard
    frames: list[Frame]
    stop: threading.Event
    thread: threading.Thread

    def wait_for(self, count: int, timeout_s: float = 20.0) -> list[Frame]:
        self.until(lambda: len(self.frames) >= count, f"{count} frames", timeout_s)
        return self.frames

    def until(self, claim, what: str, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not claim():
            assert self.thread.is_alive() or claim(), f"the source ended before {what}"
            assert time.monotonic() < deadline, (
                f"no {what} in {timeout_s} s: {len(self.frames)}, {self.heard}"
            )
            time.sleep(0.01)


@contextlib.contextmanager
def listening(
    source: Source, stop: threading.Event, *, is_finished: bool = True, stops_in_s: float = 3.0
) -> Iterator[Listening]:
    """Take frames on a thread; on leaving, the source must end within the given time."""
    heard, frames = Heard(), []

    def take() -> None:
        found = source.frames(heard.notices())
        for frame in found:
            frames.append(frame)
            if is_finished:
                frame.finish("done")
        getattr(found, "close", lambda: None)()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield Listening(heard, frames, stop, thread)
    finally:
        stop.set()
        thread.join(stops_in_s)
        assert not thread.is_alive(), f"the source did not stop in {stops_in_s} s"
