"""What every source that can go away does alike: try again with back-off, count, stop when told.

A source opens a stream of items; when that ends or fails, `following` says so and opens it again. No
source may block for longer than its read timeout, so that a stop is obeyed and a dead peer is noticed.
"""

import random
import threading
import time
from dataclasses import replace
from typing import Callable, Iterator, Optional, TypeVar

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.frames import Frame
from edgeform_runtime.stages.contract import Notices

T = TypeVar("T")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
SETTLED_S = 10.0
"""A connection that lasted so long was a good one: the next loss starts with a short wait again."""


class SourceLost(Exception):
    """The source is gone for now; `reason` is one word for the metrics."""

    def __init__(self, reason: str, summary: str) -> None:
        super().__init__(summary)
        self.reason = reason
        self.summary = summary


class Backoff:
    """Waits that double from half a second to half a minute, each shortened by up to a half.

    The shortening is random so that forty cameras do not come back in the same second.
    """

    def __init__(
        self,
        first_s: float = FIRST_WAIT_S,
        longest_s: float = LONGEST_WAIT_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_s, self._longest_s, self._chance = first_s, longest_s, chance
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to wait now."""
        wait_s = self._next_s
        self._next_s = min(self._longest_s, self._next_s * 2)
        return wait_s * (1.0 - 0.5 * self._chance())

    def reset(self) -> None:
        self._next_s = self._first_s


def following(
    open_stream: Callable[[], Iterator[Optional[T]]],
    *,
    stop: threading.Event,
    notices: Notices,
    backoff: Backoff,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Items of one stream after the other, until the stop event.

    A stream raises SourceLost when it is gone; returning means that it ended, which is a loss as well. It
    gives None when nothing came for a while, so that the stop event is looked at.
    """
    while not stop.is_set():
        notices.alive()
        stream = open_stream()
        since: Optional[float] = None
        try:
            for item in stream:
                notices.alive()
                if since is None:
                    since = clock()
                    notices.found()
                if stop.is_set():
                    return
                if item is not None:
                    yield item
            lost = SourceLost("ended", "the source ended")
        except SourceLost as exc:
            lost = exc
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        if stop.is_set():
            return
        notices.lost(lost.reason, lost.summary)
        if since is not None and clock() - since >= SETTLED_S:
            backoff.reset()
        stop.wait(backoff.next_s())


class FrameMaker:
    """Numbers the frames of a source."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sequence = 0

    def frame(self, content: bytes, finish: Optional[Callable[[str], None]] = None) -> Frame:
        self._sequence += 1
        made = Frame(
            sequence=self._sequence,
            name=f"{self._name}#{self._sequence}",
            content=content,
            captured_at=time.time(),
            captured=time.monotonic(),
        )
        return made if finish is None else replace(made, finish=finish)


def package_missing(stage: str, package: str) -> PipelineInvalid:
    """The refusal of a stage whose package the closure lacks."""
    return PipelineInvalid(
        f"capture {stage} needs the package {package}, which is not in this runtime closure;"
        " build the closure with it, or take another capture"
    )
