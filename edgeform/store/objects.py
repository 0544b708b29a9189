"""Objects: `sha256/ab/cdef...` below one folder, each written whole or not at all.

Write order: temporary file, bytes, fsync, rename, fsync of the directory. Reading verifies; an object
that is damaged is set aside (`damaged/`) so that it is fetched again instead of being used.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edgeform.errors import Corrupt
from edgeform_wire import digest as digests

CHUNK_BYTES = 1024 * 1024
OBJECT_MODE = 0o444


class Objects:
    """A folder of objects. Many processes may use it at once: every write ends in a rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._damaged = folder / "damaged"

    def path(self, digest: str) -> Path:
        """Where the object is or would be; nothing is said about its bytes."""
        name = digests.hex_of(digest)
        return self.folder / "sha256" / name[:2] / name[2:]

    def part(self, digest: str) -> Path:
        """Where an interrupted transfer of this object leaves what it has."""
        return self._incoming / f"{digests.hex_of(digest)}.part"

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def size_bytes(self, digest: str) -> int:
        """The length of the object's file.

        Raises:
            Corrupt: there is no such object.
        """
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as exc:
            raise _missing(digest) from exc

    def put(self, content: bytes) -> str:
        """The digest of the content, which is in the store from now on."""
        digest = digests.of_bytes(content)
        if not self.has(digest):
            with self._new_file() as stream:
                stream.write(content)
                self._keep(stream, digest)
        return digest

    def put_file(self, source: Path, expected: str | None = None) -> str:
        """The digest of a file's content, copied into the store in one reading.

        Raises:
            Corrupt: it is not the content that was expected.
        """
        with source.open("rb") as reading, self._new_file() as stream:
            hasher = hashlib.sha256()
            for chunk in iter(lambda: reading.read(CHUNK_BYTES), b""):
                hasher.update(chunk)
                stream.write(chunk)
            digest = digests.PREFIX + hasher.hexdigest()
            if expected not in (None, digest):
                _discard(stream)
                raise Corrupt(
                    f"The file has digest {digest}, not {expected} as expected.",
                    address=str(source),
                )
            if self.has(digest):
                _discard(stream)
            else:
                self._keep(stream, digest)
        return digest

    def adopt(self, part: Path, digest: str) -> None:
        """Take a completely received file into the store, by rename, once its bytes are proven.

        Raises:
            Corrupt: the bytes are not those of the digest; the file is gone, so that the next
                transfer begins anew.
        """
        actual = digests.of_file(str(part))
        if actual != digest:
            part.unlink(missing_ok=True)
            raise Corrupt(
                f"What was received for {digest} has digest {actual}.",
                hint="Try again; if it comes back, the other side is damaged.",
            )
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        self._rename(part, digest)

    def read(self, digest: str) -> bytes:
        """The object's bytes, proven.

        Raises:
            Corrupt: there is no such object, or it is damaged (it is then set aside).
        """
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError as exc:
            raise _missing(digest) from exc
        if digests.of_bytes(content) != digest:
            raise self._set_aside(digest)
        return content

    def verified(self, digest: str) -> Path:
        """The path of an object whose bytes have just been proven.

        Raises:
            Corrupt: there is no such object, or it is damaged (it is then set aside).
        """
        path = self.path(digest)
        try:
            actual = digests.of_file(str(path))
        except FileNotFoundError as exc:
            raise _missing(digest) from exc
        if actual != digest:
            raise self._set_aside(digest)
        return path

    def __iter__(self) -> Iterator[str]:
        """The digests of all objects, sorted."""
        for shelf in sorted((self.folder / "sha256").glob("??")):
            for file in sorted(shelf.iterdir()):
                name = shelf.name + file.name
                with suppress(ValueError):  # a foreign file is nobody's object
                    yield digests.parse(digests.PREFIX + name)

    def remove(self, digest: str) -> int:
        """Bytes freed; 0 when it was not there."""
        path = self.path(digest)
        try:
            freed = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return freed

    def _new_file(self) -> BinaryIO:
        self._incoming.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(  # type: ignore[return-value]
            dir=self._incoming, prefix="new-", delete=False
        )

    def _keep(self, stream: BinaryIO, digest: str) -> None:
        stream.flush()
        os.fsync(stream.fileno())
        self._rename(Path(stream.name), digest)

    def _rename(self, source: Path, digest: str) -> None:
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(OBJECT_MODE)
        source.replace(target)
        sync_directory(target.parent)

    def _set_aside(self, digest: str) -> Corrupt:
        self._damaged.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.path(digest).replace(self._damaged / digests.hex_of(digest))
        return Corrupt(
            f"Object {digest} is damaged: its bytes no longer match its digest. It was set aside.",
            address=str(self._damaged / digests.hex_of(digest)),
            hint="Fetch it again:\n    edgeform store pull\nIf this happens twice, suspect the disk.",
        )


def sync_directory(folder: Path) -> None:
    """Make renames in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _discard(stream: BinaryIO) -> None:
    Path(stream.name).unlink(missing_ok=True)


def _missing(digest: str) -> Corrupt:
    return Corrupt(
        f"Object {digest} is not in the store.",
        hint="Fetch it:\n    edgeform store pull DIRECTORY\n"
        "or build it again:\n    edgeform lock --update '*'",
    )
