"""Numbers that arrive one row at a time, as windows of samples; lines of text as they are.

Both turn what one line (or message, or reading) holds into the content of a frame, or into nothing yet.
"""

import json
import math
from collections import deque
from typing import Deque, List, Optional, Sequence, Tuple

import numpy as np

from edgeform_runtime.errors import FrameError
from edgeform_runtime.stages.content import npy_of

MAX_CHANNELS = 1024


class Windows:
    """Windows of `length` rows, a new one every `hop` rows; a gap in time starts a new window.

    Args:
        channels: numbers in a row; 0 takes as many as the first row has.
    """

    def __init__(self, channels: int, length: int, hop: int) -> None:
        self._channels, self._length = channels, length
        self._hop = hop or length
        self._rows: Deque[Tuple[float, ...]] = deque(maxlen=length)
        self._missing = length

    def add(self, row: Sequence[float]) -> Optional[bytes]:
        """The window that this row completes, as an NPY file of (length, channels).

        Raises:
            FrameError: another number of channels, or a value that is not finite.
        """
        if not self._channels:
            self._channels = len(row)
        if len(row) != self._channels or not row:
            raise FrameError(f"a row of {len(row)} numbers, not {self._channels}", "channels")
        if not all(math.isfinite(value) for value in row):
            raise FrameError("a row has a number that is not finite", "not_finite")
        self._rows.append(tuple(row))
        self._missing -= 1
        if self._missing > 0:
            return None
        self._missing = self._hop
        return npy_of(np.asarray(self._rows, np.float32))

    def restart(self) -> None:
        """Forget the rows: what comes next does not follow them."""
        self._rows.clear()
        self._missing = self._length


def numbers_of(line: bytes, separator: str) -> List[float]:
    """The numbers of a line: separated, or a JSON list.

    Raises:
        FrameError: something in it is no number.
    """
    try:
        text = line.decode("utf-8").strip()
        if text.startswith("["):
            found = json.loads(text)
            if not all(type(value) in (int, float) for value in found):
                raise ValueError("not a list of numbers")
            return [float(value) for value in found[: MAX_CHANNELS + 1]]
        parts = text.split() if separator == "space" else text.split(separator)
        return [float(part) for part in parts[: MAX_CHANNELS + 1]]
    except (ValueError, OverflowError, RecursionError) as exc:
        raise FrameError(f"not a row of numbers: {line[:60]!r}", "not_numbers") from exc


class Reader:
    """Turns lines into contents: text as it is, numbers into windows.

    Args:
        payload: text or series.
    """

    def __init__(
        self, *, payload: str, channels: int, window: int, hop: int, separator: str
    ) -> None:
        self._is_text = payload == "text"
        self._separator = separator
        self._windows = Windows(channels, window, hop)

    def content(self, line: bytes) -> Optional[bytes]:
        """The content that this line completes.

        Raises:
            FrameError: no row of numbers, or no UTF-8.
        """
        if self._is_text:
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as exc:
                raise FrameError(f"text is not UTF-8: byte {exc.start}") from exc
            return line or None
        return self._windows.add(numbers_of(line, self._separator)) if line.strip() else None

    def restart(self) -> None:
        self._windows.restart()
