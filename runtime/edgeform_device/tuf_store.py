"""Where a device keeps verified metadata, and how it reads a repository's files from a folder.

Each file is replaced whole: written beside, fsynced, renamed, folder fsynced. A crash leaves the
old file or the new one, and either is metadata that was verified before it was written.
"""

import errno
import os
import stat
from typing import Callable, Optional, Protocol
from urllib.parse import quote

from edgeform_device.errors import NotTrusted
from edgeform_device.tuf_metadata import shown

Fetch = Callable[[str, int], Optional[bytes]]
"""(file name, most bytes wanted) -> the bytes, or None where there is no such file.

May return more than was asked for by one byte, so that the caller sees that the file is longer.
"""

FOLDER = "metadata"
_TMP = ".tmp"


class Store(Protocol):
    """Where verified metadata is kept from one refresh to the next."""

    def read(self, role: str, limit: int) -> Optional[bytes]: ...
    def write(self, role: str, data: bytes) -> None: ...


class MetadataStore:
    """Verified metadata files in one root-owned folder, by role."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read(self, role: str, limit: int) -> Optional[bytes]:
        return _read_regular_file(os.path.join(self._folder, file_name(role)), limit)

    def write(self, role: str, data: bytes) -> None:
        """Replace a role's file; afterwards it is on the disk, and was never half there."""
        path = os.path.join(self._folder, file_name(role))
        descriptor = os.open(path + _TMP, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(path + _TMP, path)
        _sync_folder(self._folder)

    def create(self) -> None:
        os.makedirs(self._folder, mode=0o755, exist_ok=True)
        _sync_folder(os.path.dirname(self._folder) or ".")


def store_in(store_dir: str) -> MetadataStore:
    """The metadata store of a device's `trust` folder."""
    return MetadataStore(os.path.join(store_dir, FOLDER))


def file_name(role: str, version: Optional[int] = None) -> str:
    """A role's file: percent-encoded, so that no role's name can climb out of the folder."""
    name = quote(role, safe="") + ".json"
    return name if version is None else f"{version}.{name}"


def folder_fetch(folder: str) -> Fetch:
    """Reads a repository's metadata from a folder: a mounted stick, or what was uploaded."""

    def fetch(name: str, limit: int) -> Optional[bytes]:
        if "/" in name or name in (".", ".."):
            raise AssertionError(f"{name!r} is not a file's name")
        return _read_regular_file(os.path.join(folder, name), limit)

    return fetch


def _read_regular_file(path: str, limit: int) -> Optional[bytes]:
    """At most limit + 1 bytes; links, pipes and devices are refused: a stick belongs to anybody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise _not_a_file(path) from exc
        raise
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise _not_a_file(path)
        return stream.read(limit + 1)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_a_file(path: str) -> NotTrusted:
    return NotTrusted(
        f"{shown(os.path.basename(path))} is a link or a special file, not metadata.",
        detail="Metadata is read from plain files only. Nothing was changed.",
        hint="Copy the repository again, as plain files.",
    )
