"""Frames and the bounded queues between the threads of a pipeline."""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, Generic, Optional, TypeVar

T = TypeVar("T")


def _nothing(outcome: str) -> None:
    del outcome


@dataclass(frozen=True)
class Frame:
    """One input as it was captured; `finish` is called once, when the pipeline is through with it.

    Args:
        captured_at: seconds since the epoch as the device believes; captured: of the monotonic clock.
        finish: takes the outcome: done, failed or dropped.
    """

    sequence: int
    name: str
    content: bytes
    captured_at: float
    captured: float
    finish: Callable[[str], None] = field(default=_nothing, repr=False)


@dataclass(frozen=True)
class Inferred:
    """A frame with its result, on the way to actions."""

    frame: Frame
    result: Dict[str, Any]
    model_ref: str
    generation: int
    seconds: Dict[str, float]


class BoundedQueue(Generic[T]):
    """At most `size` items; what happens to one too many is the queue's policy.

    wait: `put` blocks. drop_oldest: the one that waits longest goes. drop_latest: the new one goes.
    `on_drop` is called outside the lock with the item that went.
    """

    def __init__(self, size: int, when_full: str, on_drop: Callable[[T], None]) -> None:
        self._size = size
        self._when_full = when_full
        self._on_drop = on_drop
        self._items: Deque[T] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout_s: Optional[float] = None) -> bool:
        """Whether the item was taken; with `wait`, up to the timeout. False when it was dropped."""
        dropped: Optional[T] = None
        with self._changed:
            if self._when_full == "wait":
                self._changed.wait_for(self._has_room, timeout_s)
            if self._is_closed or (len(self._items) >= self._size and not self._drops_oldest):
                dropped = item
            else:
                if len(self._items) >= self._size:
                    dropped = self._items.popleft()
                self._items.append(item)
                self._changed.notify_all()
        if dropped is not None:
            self._on_drop(dropped)
        return dropped is not item

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether there is room for one more, waiting that long for it; also when the queue is closed."""
        with self._changed:
            return self._changed.wait_for(self._has_room, timeout_s)

    def get(self, timeout_s: float) -> Optional[T]:
        """The item that waits longest; None when none came in time or the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._is_closed, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Take nothing more; what is inside can still be got."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def _drops_oldest(self) -> bool:
        return self._when_full == "drop_oldest"

    def _has_room(self) -> bool:
        return self._is_closed or len(self._items) < self._size
