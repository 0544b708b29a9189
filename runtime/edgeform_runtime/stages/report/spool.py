"""Reports on disk until somebody has taken them: bounded, oldest first out, and what is lost shows.

Each record has a number that only grows. Numbers that are missing when records are read are a gap:
they were pushed out by newer ones, or the disk lost them. Nothing here is needed to know it.
"""

import contextlib
import json
import os
import zlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Deque, Dict, List, Mapping, Optional, Tuple

SEGMENTS = 8
"""A spool is that many files: with the oldest goes an eighth of it."""
STATE = "sent.json"
ENDING = ".jsonl"


@dataclass(frozen=True)
class Spooled:
    """A record that waits; numbers from `lost_from` (inclusive) to its own are gone, 0 means none."""

    seq: int
    record: Dict[str, Any]
    lost_from: int


class Spool:
    """A queue of records in a folder; used by one thread at a time.

    Raises OSError where the disk does not take or give something.
    """

    def __init__(self, folder: str, max_bytes: int) -> None:
        os.makedirs(folder, exist_ok=True)
        self._folder, self._max_bytes = folder, max_bytes
        self._pending: Deque[Tuple[int, Dict[str, Any]]] = deque()
        self._segment = ""
        self._segment_size = 0
        self._sent = self._read_sent()
        if not os.path.exists(os.path.join(folder, STATE)):
            # From now on it is known that nothing was sent, so that a loss before the first one shows, too.
            # A full disk must not keep what is there from being sent.
            with contextlib.suppress(OSError):
                self._write_sent()
        newest = max((seq for path in self._segments() for seq, _ in _read(path)), default=0)
        self._newest = max(newest, self._sent)
        """The last number that is or was on disk; later ones may be used up by a disk that took nothing."""
        self._next = self._newest + 1

    @property
    def size_bytes(self) -> int:
        return sum(os.path.getsize(path) for path in self._segments())

    def append(self, record: Mapping[str, Any]) -> int:
        """Keep the record under the next number, which is used up even when the disk is full."""
        seq = self._next
        self._next += 1
        line = _line(seq, record)
        is_new = not self._segment or self._segment_size + len(line) > self._max_bytes // SEGMENTS
        if is_new:
            # Never the file of an earlier process: its last line may be torn.
            self._segment = os.path.join(self._folder, f"{seq:016d}{ENDING}")
            self._segment_size = 0
        try:
            self._make_room(len(line))
            with open(self._segment, "ab") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                _flush_folder(self._folder)
        except OSError:
            self._segment = ""  # this one may end in a torn line now
            raise
        self._segment_size += len(line)
        self._newest = seq
        return seq

    def peek(self) -> Optional[Spooled]:
        """The oldest record that was not taken; None when there is none."""
        while self._pending and self._pending[0][0] <= self._sent:
            self._pending.popleft()
        if not self._pending:
            self._load()
        if not self._pending:
            return None
        seq, record = self._pending[0]
        lost_from = self._sent + 1 if seq > self._sent + 1 else 0
        return Spooled(seq=seq, record=record, lost_from=lost_from)

    def taken(self, seq: int) -> None:
        """Everything up to this number has been taken."""
        self._sent = max(self._sent, seq)
        try:
            self._write_sent()
        except OSError:
            # What was taken must go first where the disk is full, or it would stay full.
            self._drop_taken()
            self._write_sent()
        else:
            self._drop_taken()

    def _write_sent(self) -> None:
        temporary = os.path.join(self._folder, STATE + ".new")
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump({"sent": self._sent}, stream)
        # Not flushed: after a power cut a few records are sent again, and have their numbers.
        os.replace(temporary, os.path.join(self._folder, STATE))

    def _drop_taken(self) -> None:
        """Remove files of which nothing waits any more, but for the one that is being written."""
        paths = self._segments()
        firsts = [int(os.path.basename(path)[: -len(ENDING)]) for path in paths]
        for path, following in zip(paths, [*firsts[1:], self._next]):
            is_done = following <= self._sent + 1 or self._newest <= self._sent
            if is_done and path != self._segment:
                os.unlink(path)

    def _load(self) -> None:
        for path in self._segments():
            found = [(seq, record) for seq, record in _read(path) if seq > self._sent]
            if found:
                self._pending.extend(found)
                return

    def _make_room(self, size: int) -> None:
        paths = self._segments()
        sizes = {path: os.path.getsize(path) for path in paths}
        total = sum(sizes.values())
        for path in paths:
            if total + size <= self._max_bytes or path == self._segment:
                return
            os.unlink(path)
            total -= sizes[path]
            self._pending.clear()

    def _segments(self) -> List[str]:
        names = sorted(n for n in os.listdir(self._folder) if n.endswith(ENDING))
        return [os.path.join(self._folder, name) for name in names]

    def _read_sent(self) -> int:
        try:
            with open(os.path.join(self._folder, STATE), encoding="utf-8") as stream:
                sent = json.load(stream)["sent"]
        except FileNotFoundError:
            return self._before_first()
        except (ValueError, KeyError, TypeError):
            return self._before_first()
        return sent if type(sent) is int and sent >= 0 else self._before_first()

    def _before_first(self) -> int:
        """Where nothing says what was sent: all that is there is new, and nothing before it is a gap."""
        first = next((seq for path in self._segments() for seq, _ in _read(path)), 1)
        return first - 1


def _flush_folder(folder: str) -> None:
    """A file's name survives a power cut only when its folder was flushed, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(seq: int, record: Mapping[str, Any]) -> bytes:
    text = json.dumps([seq, record], ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(path: str) -> List[Tuple[int, Dict[str, Any]]]:
    """The sound records of a file; a torn or damaged line is left out."""
    found: List[Tuple[int, Dict[str, Any]]] = []
    with open(path, "rb") as stream:
        for line in stream:
            check, _, text = line.rstrip(b"\n").partition(b" ")
            try:
                if int(check, 16) != zlib.crc32(text) or not line.endswith(b"\n"):
                    continue
                seq, record = json.loads(text)
            except ValueError:
                continue
            found.append((seq, record))
    return found
