"""Bytes come in: framed, resumable, proven against their digest before they have a name in the store.

An unfinished blob waits in `incoming/.part/<hex>`. Whoever continues it names the offset; when it is
whole, all of it is read again, so a part that was damaged meanwhile can only cost time. Metadata is kept
as it came: the TUF client alone judges it.
"""

import hashlib
import os
import re
import select
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Set, Tuple

from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, DeviceError, Incomplete, Locked, Usage
from edgeform_device.store import NO_SPACE, Store, disk_full, write_all
from edgeform_wire import digest as digests
from edgeform_wire import frames
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

SILENCE_S = 20.0
"""A peer that says nothing for so long is gone; its part stays, its lock does not."""

LOCK_S = 25.0
MAX_METADATA_BYTES = 5_000_000
MAX_METADATA_FILES = 4096
KEPT_FREE_BYTES = 4 * 1024 * 1024
_METADATA_NAME = re.compile(r"[A-Za-z0-9._%+-]{1,200}\.json\Z")


def missing(store: Store, wanted: Any) -> List[Dict[str, Any]]:
    """The blobs that must be sent, each with the bytes of an unfinished upload that are here already.

    `wanted` is `{"blobs": [...], "verify": bool}`: each blob a digest or `{"digest", "size_bytes"}`.
    With `verify`, every blob is read whole, and a damaged one is taken out of the store.

    Raises:
        WireError: the request is not the agreed form.
    """
    fields = Fields(wanted, "request")
    blobs = fields.each("blobs", _wanted)
    is_thorough = fields.boolean("verify", default=False)
    fields.done()
    found = []
    for digest, size_bytes in dict(blobs).items():
        is_here = store.has(digest, size_bytes)
        if is_here and is_thorough and not store.is_intact(digest):
            store.condemn(digest)
            is_here = False
        if not is_here:
            found.append({"digest": digest, "have_bytes": store.have_bytes(digest)})
    return found


def _wanted(value: Any, what: str) -> Tuple[str, Optional[int]]:
    if isinstance(value, str):
        return digests.parse(value, what), None
    fields = Fields(value, what)
    found = fields.digest("digest"), fields.integer("size_bytes")
    fields.done()
    return found


class Ingest:
    """One stream of frames, taken in order; `finish` makes everything that came durable."""

    def __init__(self, store: Store, stream: BinaryIO) -> None:
        self._store = store
        self._disk: Disk = store.disk
        self._stream = _Patient(stream)
        self._touched: Set[str] = set()
        self.received: List[Dict[str, Any]] = []
        self.metadata: List[str] = []

    def run(self) -> None:
        """Take every frame.

        Raises:
            Incomplete: the stream ended early or fell silent, or an offset leaves a gap.
            Corrupt: a blob is not its digest; its part was removed.
            Refused: the disk is full; the part stays. Locked: somebody else is sending the same blob.
        """
        self._disk.mkdir(self._store.layout.part_dir, 0o700)
        try:
            while True:
                head = self._next_head()
                if head is None:
                    return
                header, body_bytes = head
                if "metadata" in header:
                    self._take_metadata(header, body_bytes)
                else:
                    self._take_blob(header, body_bytes)
        finally:
            self._settle()

    def _next_head(self) -> Optional[Tuple[Dict[str, Any], int]]:
        try:
            return frames.read_head(self._stream)  # type: ignore[arg-type]  # it only calls read()
        except WireError as exc:
            raise _broken_off(str(exc)) from exc

    def _take_metadata(self, header: Dict[str, Any], body_bytes: int) -> None:
        fields = Fields(header, "frame")
        name = fields.text("metadata")
        fields.done()
        if not _METADATA_NAME.match(name) or name.startswith("."):
            raise Usage(f"{name!r:.80} is no name of a metadata file.")
        if body_bytes > MAX_METADATA_BYTES or len(self.metadata) >= MAX_METADATA_FILES:
            raise Usage(f"Metadata file {name} is {body_bytes} bytes, or one too many.")
        folder = self._store.layout.metadata_dir
        self._disk.mkdir(folder, 0o700)
        content = b"".join(self._body(body_bytes))
        path = os.path.join(folder, name)
        try:
            self._disk.write_file(path, content, 0o600)
        except OSError as exc:
            if exc.errno not in NO_SPACE:
                raise
            raise disk_full(path, body_bytes) from exc
        self.metadata.append(name)

    def _take_blob(self, header: Dict[str, Any], body_bytes: int) -> None:
        fields = Fields(header, "frame")
        piece = _Piece(
            digest=fields.digest("blob"),
            offset=fields.integer("offset", default=0),
            body_bytes=body_bytes,
            size_bytes=fields.integer("size_bytes"),
        )
        fields.done()
        if piece.end > piece.size_bytes:
            raise Usage(
                f"Blob {digests.short(piece.digest)}: more than the {piece.size_bytes} bytes announced."
            )
        if self._store.has(piece.digest, piece.size_bytes):
            self._skip(piece)  # somebody else brought it meanwhile
            return
        path = self._store.layout.part(piece.digest)
        part = self._locked_part(path)
        try:
            if self._store.has(piece.digest, piece.size_bytes):
                self._disk.sys_unlink(path)  # made anew while another upload published the blob
                self._skip(piece)
            else:
                self._append(part, path, piece)
                self._note(piece, piece.end)
        finally:
            self._disk.sys_close(part)

    def _skip(self, piece: "_Piece") -> None:
        for _ in self._body(piece.body_bytes):
            pass
        self._note(piece, piece.size_bytes)

    def _append(self, part: int, path: str, piece: "_Piece") -> None:
        present = os.fstat(part).st_size
        if piece.offset > present:
            raise Incomplete(
                f"Blob {digests.short(piece.digest)}: bytes from {piece.offset} were sent,"
                f" {present} are here.",
                detail="The bytes between are missing, so what was sent cannot be used.",
                hint="Ask again what is missing and send from there.",
            )
        self._check_space(path, piece.size_bytes - piece.offset)
        if piece.offset != present:
            self._disk.sys_truncate(part, piece.offset)
        # Hashed on the way where all of it comes at once; else read again at the end, once, and not
        # with every piece: a gigabyte in pieces of 8 MiB would be read sixty-four times over.
        hasher = hashlib.sha256()
        os.lseek(part, piece.offset, os.SEEK_SET)
        try:
            for chunk in self._body(piece.body_bytes):
                write_all(self._disk, part, chunk)
                hasher.update(chunk)
        except OSError as exc:
            if exc.errno not in NO_SPACE:
                raise
            raise disk_full(path, piece.size_bytes - piece.offset) from exc
        if piece.end < piece.size_bytes:
            return
        if piece.offset:
            hasher = hashlib.sha256()
            for chunk in _bytes_of(part, piece.size_bytes):
                hasher.update(chunk)
        found = digests.PREFIX + hasher.hexdigest()
        if found != piece.digest:
            self._disk.sys_unlink(path)
            raise Corrupt(
                f"Blob {digests.short(piece.digest)}: what arrived is not what its digest says.",
                detail=f"All {piece.size_bytes} bytes came; their digest is {found}."
                " They were thrown away.",
                hint="Check the controller's own store, then send it again:\n    edgeform apply",
            )
        self._touched.add(os.path.dirname(self._store.publish(path, piece.digest)))

    def _check_space(self, path: str, needed_bytes: int) -> None:
        space = os.statvfs(os.path.dirname(path))
        if needed_bytes + KEPT_FREE_BYTES > space.f_bavail * space.f_frsize:
            raise disk_full(path, needed_bytes + KEPT_FREE_BYTES)

    def _locked_part(self, path: str) -> int:
        """The part's descriptor, ours alone: two uploads of one blob follow each other."""
        import fcntl  # noqa: PLC0415 - `missing` does without

        until = time.monotonic() + LOCK_S
        while True:
            part = self._disk.sys_open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                if _is_still(path, part):
                    return part
            self._disk.sys_close(part)
            if time.monotonic() > until:
                raise Locked(
                    "Somebody else is sending the same blob to this device.",
                    detail=f"It was still being sent after {LOCK_S:.0f} s.",
                    hint="Wait for the other apply, then try again.",
                )
            time.sleep(0.05)

    def _body(self, body_bytes: int) -> Iterator[bytes]:
        try:
            yield from frames.read_body(self._stream, body_bytes)  # type: ignore[arg-type]
        except WireError as exc:
            raise _broken_off(str(exc)) from exc

    def _note(self, piece: "_Piece", have_bytes: int) -> None:
        is_complete = have_bytes == piece.size_bytes
        self.received.append(
            {"blob": piece.digest, "have_bytes": have_bytes, "complete": is_complete}
        )

    def _settle(self) -> None:
        """Make the new names durable, once per directory and not once per file."""
        for directory in sorted(self._touched):
            self._disk.sync_dir(directory)
        if self._touched:
            self._disk.sync_dir(self._store.layout.part_dir)


@dataclass(frozen=True)
class _Piece:
    """What a frame says that it brings: `body_bytes` of a blob, from `offset`."""

    digest: str
    offset: int
    body_bytes: int
    size_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.body_bytes


class _Patient:
    """A stream whose silence ends: `read` gives up when nothing comes for SILENCE_S."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        try:
            self._descriptor: Optional[int] = stream.fileno()
        except (OSError, ValueError):
            self._descriptor = None  # bytes in memory never fall silent

    def read(self, count: int) -> bytes:
        if self._descriptor is None:
            return self._stream.read(count)
        # Readable or at its end; os.read below never blocks then, whatever a buffer would do.
        ready, _, _ = select.select((self._descriptor,), (), (), SILENCE_S)
        if not ready:
            raise WireError(f"nothing came for {SILENCE_S:.0f} s")
        return os.read(self._descriptor, count)


def _bytes_of(descriptor: int, length: int) -> Iterator[bytes]:
    at = 0
    while at < length:
        chunk = os.pread(descriptor, min(digests.CHUNK_BYTES, length - at), at)
        if not chunk:
            raise Incomplete("The part became shorter while it was read.")
        at += len(chunk)
        yield chunk


def _is_still(path: str, descriptor: int) -> bool:
    """Whether the name still means the file that was locked: its last owner may have published it."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _broken_off(why: str) -> DeviceError:
    return Incomplete(
        "The upload broke off.",
        detail=f"{why}. What had arrived is kept.",
        hint="Send again; it continues where it stopped.",
    )
