"""The capture files of one pipeline on the device: written whole or not at all, within bytes and age."""

import os
import time
from typing import BinaryIO, Callable, List, Tuple

from edgeform_runtime.pipeline.recording import Recording
from edgeform_wire.capture import ENDING, FOLDER

EARLIEST_CLOCK = 1_577_836_800.0  # 2020-01-01: older files were written with an unset clock


class TooLarge(OSError):
    """One capture alone is larger than what all may take."""


class Files:
    """Below `results/<pipeline>/captures`, the one folder that the service may write to."""

    def __init__(
        self,
        prefix: str,
        pipeline: str,
        stage: Recording,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = os.path.join(prefix, "results", pipeline, FOLDER)
        self._stage, self._clock = stage, clock
        self._number = 0

    def put(
        self, reason: str, size_bytes: int, write: Callable[[BinaryIO], None]
    ) -> Tuple[str, int]:
        """(name, bytes) of a new file, which is on the disk when this returns.

        Args:
            size_bytes: about how large it will be, to make room first.

        Raises:
            OSError: the disk does not take it; nothing half written is left.
        """
        if size_bytes > self._stage.max_bytes:
            raise TooLarge(
                0, f"a capture of {size_bytes} bytes, all may take {self._stage.max_bytes}"
            )
        os.makedirs(self._folder, mode=0o750, exist_ok=True)
        self.prune(size_bytes)
        self._number += 1
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        name = f"{now}-{os.getpid()}-{self._number:04d}-{reason}{ENDING}"
        path = os.path.join(self._folder, name)
        part = path + ".part"
        try:
            with open(part, "xb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
                size = stream.tell()
            os.rename(part, path)
        except BaseException:
            _remove(part)
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return name, size

    def prune(self, room_bytes: int = 0) -> None:
        """Remove what is too old, and the oldest until there is room; what a cut left half written goes, too.

        A clock that jumped forward makes files old too early; one that jumped back keeps them until the
        bytes are needed.
        """
        now = self._clock()
        found = self._found()
        total = sum(size for _, size, _ in found)
        for path, size, changed in found:
            is_old = EARLIEST_CLOCK < changed < now - self._stage.max_age_s
            if is_old or total + room_bytes > self._stage.max_bytes or path.endswith(".part"):
                _remove(path)
                total -= size

    def _found(self) -> List[Tuple[str, int, float]]:
        """(path, bytes, time of change), oldest first."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found.append((entry.path, status.st_size, status.st_mtime))
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda item: (item[2], item[0]))


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
