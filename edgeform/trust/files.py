"""A trust repository's files on disk: each written whole, durable before it is named.

The order of writing makes a publish atomic: versioned files first, `timestamp.json` last. Whoever is
killed in between leaves files that nothing refers to, and the old repository valid.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeform.errors import Locked

TMP_SUFFIX = ".tmp"


def replace_file(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Write beside, fsync, rename, fsync the folder: the old bytes or the new, never a mixture."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tmp = file.with_name(file.name + TMP_SUFFIX)
    descriptor = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    tmp.replace(file)
    sync_folder(file.parent)


def remove_file(file: Path) -> None:
    file.unlink(missing_ok=True)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the repository for one writer; the kernel lets go when the process dies.

    Raises:
        Locked: somebody else is writing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            who = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
            raise Locked(
                f"Another process writes this trust repository ({who or 'unknown'}).",
                address=str(folder),
                hint="Wait for it, then try again.",
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)
