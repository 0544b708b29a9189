"""The renderers for logs and programs: one line per event, never wrapped, never rewritten."""

import json
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TextIO

from edgeform import events
from edgeform.events import Event
from edgeform.report.sentences import sentence

Clock = Callable[[], datetime]
PROGRESS_STEP = 0.25
"""A log line per quarter of a transfer: enough to see that it moves, few enough to read."""


class Plain:
    """`2026-03-01T10:00:00Z  cam-01: committed generation 2 in 6.1 s`."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, events.TransferProgress) and not self._is_news(event):
                return
            self._stream.write(f"{stamp(self._clock())}  {sentence(event)}\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing is held back, so there is nothing to write."""

    def _is_news(self, event: events.TransferProgress) -> bool:
        """The first word of a transfer, each further quarter, and its end."""
        share = event.sent_bytes / event.total_bytes if event.total_bytes else 1.0
        step = int(share / PROGRESS_STEP)
        last = self._told.get(event.device)
        if last is not None and step < last:
            last = None  # a new transfer to the same device
        self._told[event.device] = step
        return last is None or step > last


class JsonLines:
    """Each event as one JSON object (schemas/events.schema.json), with the time it was written."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        value = {"time": stamp(self._clock())} | events.to_json(event)
        with self._lock:
            self._stream.write(json.dumps(value, separators=(",", ":")) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing is held back, so there is nothing to write."""


def stamp(time: datetime) -> str:
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
