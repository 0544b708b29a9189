"""Carrying objects to and from another place, resumed where it stopped and verified on arrival.

The contract is small on purpose (a directory, a bucket and a registry can all keep it); its suite is
tests/contract/test_remote.py. Names are `sha256/ab/cdef...` for objects and paths for other files.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from edgeform.errors import Corrupt, OutsideFailed
from edgeform.store.objects import CHUNK_BYTES, Objects, sync_directory
from edgeform_wire import digest as digests


class Remote(Protocol):
    """Bytes by name, elsewhere."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Every name below a prefix (`sha256/`, `trust/`) with its length."""

    def put(self, name: str, source: Path) -> None:
        """Store a file under a name, whole or not at all, replacing what was there.

        Raises:
            OutsideFailed: the other side failed; the name still has its old content, if any.
        """

    def get(self, name: str, offset: int) -> Iterator[bytes]:
        """The bytes from an offset on.

        Raises:
            OutsideFailed: there is no such name, or the other side failed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """What a push or a pull did."""

    sent: int
    already: int
    bytes: int


Progress = Callable[[int, int], None]
"""(bytes done, bytes in all), called after every object."""


class DirectoryRemote:
    """A folder: a mounted disk, a share, a stick."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sizes(self, prefix: str) -> dict[str, int]:
        top = self.folder / prefix
        return {
            file.relative_to(self.folder).as_posix(): file.stat().st_size
            for file in sorted(top.rglob("*"))
            if file.is_file() and not file.name.endswith(".part")
        }

    def put(self, name: str, source: Path) -> None:
        target = self._file(name)
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as reading, part.open("wb") as writing:
                shutil.copyfileobj(reading, writing, CHUNK_BYTES)
                writing.flush()
                os.fsync(writing.fileno())
            part.replace(target)
            sync_directory(target.parent)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise OutsideFailed(
                f"{name} could not be written: {exc.strerror}", address=str(self.folder)
            ) from exc

    def get(self, name: str, offset: int) -> Iterator[bytes]:
        try:
            with self._file(name).open("rb") as stream:
                stream.seek(offset)
                yield from iter(lambda: stream.read(CHUNK_BYTES), b"")
        except OSError as exc:
            raise OutsideFailed(
                f"{name} could not be read: {exc.strerror}", address=str(self.folder)
            ) from exc

    def _file(self, name: str) -> Path:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise OutsideFailed(f"{name!r} would leave the remote.", address=str(self.folder))
        return self.folder / path


def push(
    objects: Objects,
    remote: Remote,
    wanted: Iterable[str],
    progress: Progress = lambda _done, _total: None,
) -> Transferred:
    """Send the objects that the remote lacks. Sending again goes on where it stopped.

    Raises:
        Corrupt: an object is missing or damaged here; nothing damaged is ever sent.
        OutsideFailed: the remote failed.
    """
    there = remote.sizes("sha256/")
    digests_wanted = sorted(set(wanted))
    lacking = [d for d in digests_wanted if there.get(_name(d)) != objects.size_bytes(d)]
    total = sum(objects.size_bytes(d) for d in lacking)
    done = 0
    for digest in lacking:
        remote.put(_name(digest), objects.verified(digest))
        done += objects.size_bytes(digest)
        progress(done, total)
    return Transferred(sent=len(lacking), already=len(digests_wanted) - len(lacking), bytes=done)


def pull(
    objects: Objects,
    remote: Remote,
    wanted: Iterable[str],
    progress: Progress = lambda _done, _total: None,
) -> Transferred:
    """Fetch the objects that are lacking here; a broken-off object goes on where it stopped.

    Raises:
        Corrupt: what came is not what its digest says (it is thrown away).
        OutsideFailed: the remote failed, or does not have an object.
    """
    digests_wanted = sorted(set(wanted))
    lacking = [d for d in digests_wanted if not objects.has(d)]
    there = remote.sizes("sha256/") if lacking else {}
    absent = [d for d in lacking if _name(d) not in there]
    if absent:
        raise OutsideFailed(
            f"The remote does not have {absent[0]}"
            + (f" and {len(absent) - 1} more." if len(absent) > 1 else "."),
            hint="Push it from where it was built:\n    edgeform store push REMOTE",
        )
    total = sum(there[_name(d)] for d in lacking)
    done = 0
    for digest in lacking:
        _fetch(objects, remote, digest)
        done += there[_name(digest)]
        progress(done, total)
    return Transferred(sent=len(lacking), already=len(digests_wanted) - len(lacking), bytes=done)


def _fetch(objects: Objects, remote: Remote, digest: str) -> None:
    part = objects.part(digest)
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.stat().st_size if part.exists() else 0
    _append(part, remote.get(_name(digest), resumed))
    try:
        objects.adopt(part, digest)
    except Corrupt:
        if not resumed:
            raise
        # What was left from last time may have been the damage: once more, from the first byte.
        _append(part, remote.get(_name(digest), 0))
        objects.adopt(part, digest)


def _append(part: Path, chunks: Iterator[bytes]) -> None:
    with part.open("ab") as stream:
        for chunk in chunks:
            stream.write(chunk)


def _name(digest: str) -> str:
    name = digests.hex_of(digest)
    return f"sha256/{name[:2]}/{name[2:]}"
