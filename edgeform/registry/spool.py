"""Downloaded bytes on this disk: resumed where they stopped, known by the digest of what really arrived.

`parts/` holds what is under way, `objects/` what is whole. Nothing gets into `objects/` before all of it was
hashed from this disk, and an object is hashed again before it is used.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from edgeform.errors import Corrupt
from edgeform.registry.base import LFS_POINTER, RegistryFailed, SourceFile, copied, refuse_pointer

ATTEMPTS = 4
LARGEST_BYTES = 64 * 2**30
"""Where nobody says how long a file is, more than this is an answer without an end."""


class Dropped(RegistryFailed):
    """The connection ended before the file did; going on may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a registry sends of a file.

    Args:
        offset: where in the file `chunks` begin; 0 where it cannot go on in the middle.
        size_bytes: the length of the whole file, where it says so.
        validator: changes when the file does; None where going on would be a guess.
    """

    chunks: Iterator[bytes]
    offset: int = 0
    size_bytes: int | None = None
    validator: str | None = None


class Read(Protocol):
    """Opens a file from an offset on, if it still has the validator."""

    def __call__(self, offset: int, validator: str | None, /) -> Reply:
        """The bytes.

        Raises:
            RegistryFailed: there are none.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A file that a registry has; size and digest are None where it does not say them.

    Args:
        where: names the file in messages, without any credential.
    """

    path: str
    where: str
    read: Read
    size_bytes: int | None = None
    digest: str | None = None


class Spool:
    """A folder for downloads; several processes may share it."""

    def __init__(self, folder: Path, *, limit_bytes: int = LARGEST_BYTES) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes

    def holds(self, digest: str) -> BinaryIO | None:
        """The object, open and proven; None if it is not here, or is here and damaged."""
        path = self._object(digest)
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            return None
        found, _ = copied(stream)
        if found != digest:
            stream.close()
            path.unlink(missing_ok=True)
            return None
        stream.seek(0)
        return stream

    def take(self, file: Offered) -> SourceFile:
        """The file, whole and on this disk.

        Raises:
            Corrupt: it is not what the registry claims.
            SourceRefused: a git-lfs pointer stands in its place.
            RegistryFailed: it cannot be had, does not end, or does not fit on the disk.
        """
        try:
            return self._taken(file)
        except OSError as exc:
            raise RegistryFailed(
                f"It cannot be kept: {exc.strerror}.",
                address=str(self.folder),
                hint="Make room on this disk, then run the command again: it goes on where it stopped.",
            ) from exc

    def clear(self) -> None:
        """Drop all objects; whoever is using one has it open."""
        shutil.rmtree(self.folder / "objects", ignore_errors=True)

    def path(self, digest: str) -> Path:
        """Where an object that was taken lies."""
        return self._object(digest)

    def _taken(self, file: Offered) -> SourceFile:
        part = self._part(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.with_name(part.name + ".lock").open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # another edgeform may want the same file now
            return self._taken_alone(file, part)

    def _taken_alone(self, file: Offered, part: Path) -> SourceFile:
        had_bytes = part.stat().st_size if part.exists() else 0
        self._download(file, part)
        digest, size = _measured(part)
        if had_bytes and file.digest not in (None, digest):
            part.unlink()  # what lay here was not the beginning of this file
            self._download(file, part)
            digest, size = _measured(part)
        try:
            with part.open("rb") as stream:
                refuse_pointer(stream.read(len(LFS_POINTER)), file.where)
            _check_claim(file, digest, size)
        except Exception:
            _drop(part)
            raise
        target = self._object(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _drop(part)
        return SourceFile(path=file.path, size_bytes=size, digest=digest)

    def _download(self, file: Offered, part: Path) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._read_once(file, part)
            except Dropped:
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _read_once(self, file: Offered, part: Path) -> None:
        mark = _mark_of(part)
        validator = mark.read_text() if mark.exists() else ""
        offset = part.stat().st_size if part.exists() and (validator or file.digest) else 0
        if file.size_bytes is not None and offset > file.size_bytes:
            offset = 0
        if offset and offset == file.size_bytes:
            return
        reply = file.read(offset, validator or None)
        _check_length(file, reply)
        mark.write_text(reply.validator or "")
        limit = file.size_bytes if file.size_bytes is not None else reply.size_bytes
        with part.open("r+b" if part.exists() else "x+b") as stream:
            stream.truncate(reply.offset)
            stream.seek(reply.offset)
            for chunk in reply.chunks:
                stream.write(chunk)
                if stream.tell() > (self._limit_bytes if limit is None else limit):
                    raise _endless(file, stream.tell(), limit)
            end = stream.tell()
        if limit is not None and end < limit:
            raise Dropped(
                f"It was cut short: {end} of {limit} bytes came.",
                address=file.where,
                hint="Run the command again: it goes on where it stopped.",
            )

    def _object(self, digest: str) -> Path:
        return self.folder / "objects" / digest.removeprefix("sha256:")

    def _part(self, file: Offered) -> Path:
        key = hashlib.sha256(f"{file.digest}\0{file.where}".encode()).hexdigest()
        return self.folder / "parts" / key


def _measured(part: Path) -> tuple[str, int]:
    with part.open("rb") as stream:
        return copied(stream)


def _check_length(file: Offered, reply: Reply) -> None:
    if None not in (file.size_bytes, reply.size_bytes) and file.size_bytes != reply.size_bytes:
        raise Corrupt(
            f"The registry lists {file.size_bytes} bytes and sends {reply.size_bytes}.",
            address=file.where,
            hint="Publish the file again, as a new version.",
        )


def _check_claim(file: Offered, digest: str, size: int) -> None:
    if file.digest in (None, digest) and file.size_bytes in (None, size):
        return
    raise Corrupt(
        f"The registry says {file.digest}, and its bytes are {digest}.",
        address=file.where,
        hint="Somebody replaced the file, or it is damaged there. Nothing of it was kept.",
    )


def _endless(file: Offered, came: int, limit: int | None) -> Corrupt | RegistryFailed:
    if limit is not None:
        return Corrupt(
            f"More bytes come than the {limit} that it should have.",
            address=file.where,
            hint="Nothing of it was kept. Ask whoever runs the registry.",
        )
    return RegistryFailed(
        f"It does not end: {came} bytes came, and nobody says how many there are.",
        address=file.where,
    )


def _mark_of(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _mark_of(part).unlink(missing_ok=True)


def from_file(path: Path) -> Read:
    """A file of this machine, read as if it came from a registry."""

    def read(offset: int, _validator: str | None) -> Reply:
        def chunks() -> Iterator[bytes]:
            with path.open("rb") as stream:
                stream.seek(offset)
                yield from iter(lambda: stream.read(2**20), b"")

        return Reply(chunks=chunks(), offset=offset, size_bytes=os.stat(path).st_size)  # noqa: PTH116 - the same

    return read
