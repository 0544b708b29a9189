"""Keeping results on the device: JSON Lines files with limits on bytes and age, oldest files first out."""

import json
import os
import re
import time
from typing import Callable, Dict, List, Tuple

from edgeform_runtime.frames import Inferred
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.action import StoreLocally

SEGMENTS = 8
MAX_SEGMENT_BYTES = 4 * 1024 * 1024
MIN_SEGMENT_BYTES = 512
EARLIEST_CLOCK = (
    1_577_836_800.0  # 2020-01-01: files that are older were written with an unset clock
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_SIGNATURES = (
    (0, b"\x89PNG", "png"),
    (0, b"\xff\xd8", "jpg"),
    (0, b"BM", "bmp"),
    (0, b"P6", "ppm"),
    (8, b"WEBP", "webp"),
    (8, b"WAVE", "wav"),
    (0, b"\x93NUMPY", "npy"),
)
"""Where in a file which bytes stand, and its ending; RIFF holds pictures (WEBP) and sound (WAVE) alike."""


class ResultStore:
    """Writes one line per result to `<prefix>/<directory>/<pipeline>/`, within its limits.

    Raises OSError from `write` when the disk does not take it; the caller counts and goes on.
    """

    def __init__(
        self,
        stage: StoreLocally,
        prefix: str,
        pipeline: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.kind = "store"
        self._stage = stage
        self._directory = os.path.join(prefix, stage.directory, pipeline)
        self._clock = clock
        self._segment_bytes = max(
            MIN_SEGMENT_BYTES, min(MAX_SEGMENT_BYTES, stage.max_bytes // SEGMENTS)
        )
        self._segment = ""
        self._segment_size = 0
        self._total = -1
        self._number = 0

    def write(self, inferred: Inferred) -> None:
        """Keep one result, and its frame where the stage says so; old files go first."""
        line = _line(inferred)
        frame = inferred.frame.content if self._stage.frames == "encoded" else b""
        if self._total < 0:
            os.makedirs(self._directory, exist_ok=True)
            self._total = sum(size for _, size, _ in self._files())
        self._make_room(len(line) + len(frame))
        if frame:
            self._write_frame(inferred, frame)
        self._append(line)

    def idle(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """Nothing is kept open."""

    def _append(self, line: bytes) -> None:
        if not self._segment or self._segment_size + len(line) > self._segment_bytes:
            self._segment = os.path.join(self._directory, self._new_name("jsonl"))
            self._segment_size = 0
        with open(self._segment, "ab") as stream:
            stream.write(line)
        self._segment_size += len(line)
        self._total += len(line)

    def _write_frame(self, inferred: Inferred, frame: bytes) -> None:
        safe = _UNSAFE.sub("_", inferred.frame.name)[-64:].lstrip(".") or "frame"
        ending = next((e for at, mark, e in _SIGNATURES if frame.startswith(mark, at)), "bin")
        stem = safe[: -len(ending) - 1] if safe.endswith("." + ending) else safe
        path = os.path.join(self._directory, self._new_name(f"{stem}.{ending}"))
        with open(path, "wb") as stream:
            stream.write(frame)
        self._total += len(frame)

    def _new_name(self, ending: str) -> str:
        # Sorted by name is sorted by time; the number keeps order within a second and across clock steps.
        self._number += 1
        now = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._clock()))
        return f"{now}-{os.getpid()}-{self._number:06d}.{ending}"

    def _make_room(self, size: int) -> None:
        now = self._clock()
        files = self._files() if self._is_pruning_due(size) else []
        for path, length, changed in files:
            is_old = EARLIEST_CLOCK < changed < now - self._stage.max_age_s
            if not is_old and self._total + size <= self._stage.max_bytes:
                continue
            os.unlink(path)
            self._total -= length
            if path == self._segment:
                self._segment, self._segment_size = "", 0
        if self._total + size > self._stage.max_bytes:
            log("warning", "result_larger_than_store", size=size, max_bytes=self._stage.max_bytes)

    def _is_pruning_due(self, size: int) -> bool:
        """By bytes at once; by age when a segment ends, or every 256 files' worth of writes."""
        is_full = self._total + size > self._stage.max_bytes
        return is_full or self._segment_size + size > self._segment_bytes or not self._segment

    def _files(self) -> List[Tuple[str, int, float]]:
        """(path, bytes, time of change), oldest first."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append((entry.path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda item: (item[2], item[0]))


def _line(inferred: Inferred) -> bytes:
    frame = inferred.frame
    record: Dict[str, object] = {
        "captured_at": round(frame.captured_at, 3),
        "sequence": frame.sequence,
        "frame": frame.name,
        "model_ref": inferred.model_ref,
        "generation": inferred.generation,
        "result": inferred.result,
        "seconds": {name: round(value, 6) for name, value in inferred.seconds.items()},
    }
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
