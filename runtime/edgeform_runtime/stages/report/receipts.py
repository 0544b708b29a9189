"""Receipts of the device tool, in order, each until somebody has taken it.

They stand in `receipts.jsonl` already, which is never shortened, so only the number of the last one
that was taken is kept here: no receipt can be lost by a full spool.
"""

import json
import os
from typing import Iterator, Optional, Tuple

from edgeform_wire.errors import WireError
from edgeform_wire.receipt import decode_line

MAX_LINE_BYTES = 1024 * 1024


class Receipts:
    """Receipts after the last one taken. An unreadable file is as if there were none, and said once."""

    def __init__(self, path: str, folder: str) -> None:
        self._path = path
        self._state = os.path.join(folder, "receipt.json")
        self._taken = self._read_state()
        self._size = -1

    def peek(self) -> Optional[Tuple[int, bytes]]:
        """(seq, the line as it stands) of the oldest receipt that was not taken."""
        try:
            size = os.path.getsize(self._path)
            if size == self._size:
                return None
            found = next((r for r in self._lines() if r[0] > self._taken), None)
        except OSError:
            return None
        if found is None:
            self._size = size
        return found

    def taken(self, seq: int) -> None:
        self._taken = seq
        self._size = -1
        temporary = self._state + ".new"
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump({"taken": seq}, stream)
        os.replace(temporary, self._state)

    def _lines(self) -> Iterator[Tuple[int, bytes]]:
        with open(self._path, "rb") as stream:
            while True:
                line = stream.readline(MAX_LINE_BYTES)
                if not line.endswith(b"\n"):
                    return  # the device tool is writing it
                try:
                    seq = decode_line(line[:-1]).receipt.seq
                except WireError:
                    continue  # damaged; the chain of the others shows it
                yield seq, line[:-1]

    def _read_state(self) -> int:
        try:
            with open(self._state, encoding="utf-8") as stream:
                taken = json.load(stream)["taken"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return taken if type(taken) is int else 0
