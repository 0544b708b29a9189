"""The blobs of a device: every file once, known by its digest, whatever its name or place says.

A blob's file is read-only and carries one fixed modification time, so a file that somebody edited or
replaced shows at a glance; that it *is* its digest is proven by reading it, before it is used. A model's
file lives in its tree alone (readers of external data refuse hard links); then the blob's name is a
relative link that says where. Nothing here decides what may be installed.
"""

import errno
import fcntl
import os
import stat
from typing import Iterator, List, Optional, Tuple

from edgeform_device.durable import TMP, Disk
from edgeform_device.errors import Corrupt, Incomplete, Refused
from edgeform_device.layout import Layout
from edgeform_device.wording import shown_bytes
from edgeform_wire import digest as digests

STAMP_S = 946_684_800
"""The modification time of every blob, 2000-01-01: anything else was touched by somebody else."""

READ_ONLY = 0o444
EXECUTABLE = 0o555
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_HEX = frozenset("0123456789abcdef")
_FICLONE = 0x40049409  # <linux/fs.h>: share the extents, where the file system can


class Store:
    """The blobs below one prefix."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self.layout = layout
        self.disk = disk

    def path_of(self, digest: str, *, is_executable: Optional[bool] = None) -> Optional[str]:
        """Where a blob is, when a glance at it finds nothing wrong; None when it must be fetched.

        Args:
            is_executable: which of the two files is wanted; None takes either.
        """
        kinds = (False, True) if is_executable is None else (is_executable,)
        for kind in kinds:
            path = self.layout.blob(digest, is_executable=kind)
            if is_sound(path):
                return path
        return None

    def has(self, digest: str, size_bytes: Optional[int] = None) -> bool:
        """Whether the blob is here, read-only, unedited and, if it is known, of the right size.

        A file whose mode or time was changed is read; when its bytes are right it is sealed again.
        """
        path = self.path_of(digest) or self._sealed_again(digest)
        return path is not None and (size_bytes is None or os.stat(path).st_size == size_bytes)

    def _sealed_again(self, digest: str) -> Optional[str]:
        for kind in (False, True):
            path = os.path.realpath(self.layout.blob(digest, is_executable=kind))
            is_ours = path.startswith(self.layout.prefix + os.sep) and os.path.isfile(path)
            if is_ours and _digest_or_nothing(path) == digest:
                seal(self.disk, path, is_executable=kind)
                return path
        return None

    def is_intact(self, digest: str) -> bool:
        """Whether the blob is here and its bytes are its digest: reads all of it."""
        path = self.path_of(digest)
        return path is not None and _digest_or_nothing(path) == digest

    def have_bytes(self, digest: str) -> int:
        """How much of an unfinished upload is here."""
        try:
            return os.lstat(self.layout.part(digest)).st_size
        except FileNotFoundError:
            return 0

    def read(self, digest: str, limit_bytes: int) -> bytes:
        """The proven bytes of a small blob.

        Raises:
            Incomplete: it is not here. Corrupt: it is not its digest; it was taken out of the store.
        """
        path = self.path_of(digest)
        if path is None:
            raise Incomplete(
                f"Blob {digests.short(digest)} is not on this device.",
                detail=f"Nothing was changed. The whole digest is {digest}.",
                hint="Upload it again:\n    edgeform apply",
            )
        with open(path, "rb") as stream:
            content = stream.read(limit_bytes + 1)
        if len(content) > limit_bytes or digests.of_bytes(content) != digest:
            raise self.condemn(digest)
        return content

    def condemn(self, digest: str) -> Corrupt:
        """Take a damaged blob out of the store, so that it is asked for again; answers the error."""
        for kind in (False, True):
            path = self.layout.blob(digest, is_executable=kind)
            if os.path.lexists(path) and _digest_or_nothing(path) != digest:
                self.disk.remove(path)
        return Corrupt(
            f"Blob {digests.short(digest)} in the store is damaged.",
            detail="Its bytes are not its digest any more. It was removed from the store and not used.",
            hint="Upload it again:\n    edgeform apply\nIf it happens again, the disk is failing.",
        )

    def publish(self, tmp: str, digest: str, *, is_executable: bool = False) -> str:
        """Give a file whose bytes were just proven its name in the store; the caller syncs (`settle`)."""
        path = self.layout.blob(digest, is_executable=is_executable)
        seal(self.disk, tmp, is_executable=is_executable)
        self.disk.mkdir(os.path.dirname(path))
        if os.path.isdir(path) and not os.path.islink(path):
            # rename(2) cannot replace a foreign directory at a blob's name; nothing of ours is in it.
            self.disk.remove_tree(path)
        self.disk.sys_rename(tmp, path)
        return path

    def executable(self, digest: str) -> str:
        """The path of the executable file with these bytes; made from the plain one where needed.

        Raises:
            Incomplete: neither is here. Refused: no space.
        """
        return self._as(digest, is_executable=True)

    def plain(self, digest: str) -> str:
        """The path of the plain file with these bytes; made from the executable one where needed."""
        return self._as(digest, is_executable=False)

    def _as(self, digest: str, *, is_executable: bool) -> str:
        path = self.path_of(digest, is_executable=is_executable)
        if path is not None:
            return path
        other = self.path_of(digest, is_executable=not is_executable)
        if other is None:
            raise Incomplete(
                f"Blob {digests.short(digest)} is not on this device.",
                detail=f"The whole digest is {digest}.",
                hint="Upload it again:\n    edgeform apply",
            )
        wanted = self.layout.blob(digest, is_executable=is_executable)
        if os.lstat(other).st_nlink == 1 and not os.path.islink(other):
            # No tree uses the other one: it changes its name instead of being there twice.
            seal(self.disk, other, is_executable=is_executable)
            self.disk.rename(other, wanted)
            return wanted
        tmp = wanted + TMP
        copy_file(self.disk, other, tmp)
        self.publish(tmp, digest, is_executable=is_executable)
        self.disk.sync_dir(os.path.dirname(wanted))
        return wanted

    def point_into_tree(self, digest: str, place: str) -> None:
        """Make the blob's name a link to the file in a tree that alone holds its bytes from now on."""
        path = self.layout.blob(digest)
        self.disk.mkdir(os.path.dirname(path))
        self.disk.replace_link(path, os.path.relpath(place, os.path.dirname(path)))

    def entries(self) -> Iterator[Tuple[str, Optional[str]]]:
        """Every (path, digest) below the store; the digest is None where the name is not one of ours."""
        top = self.layout.blobs_dir
        for shard in self.disk.names(top):
            directory = os.path.join(top, shard)
            if len(shard) != 2 or not _HEX.issuperset(shard) or not os.path.isdir(directory):
                yield directory, None
                continue
            for name in self.disk.names(directory):
                yield os.path.join(directory, name), _digest_of_name(shard, name)

    def foreign(self) -> List[str]:
        """Paths in the store that are none of its blobs: foreign names, damaged at a glance."""
        found = []
        for path, digest in self.entries():
            if digest is None and path.endswith(TMP):
                continue
            if digest is None or not (is_sound(path) or _is_dangling(path)):
                found.append(path)
        return found


def is_sound(path: str) -> bool:
    """Whether a glance finds a read-only plain file that nobody has touched (its bytes are not read)."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and not status.st_mode & 0o222
        and int(status.st_mtime) == STAMP_S
    )


def seal(disk: Disk, path: str, *, is_executable: bool) -> None:
    """Make a file read-only and give it the store's modification time."""
    descriptor = disk.sys_open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        disk.sys_chmod(descriptor, EXECUTABLE if is_executable else READ_ONLY)
        os.utime(descriptor, (STAMP_S, STAMP_S))
        disk.sys_fsync(descriptor)
    finally:
        disk.sys_close(descriptor)


def copy_file(disk: Disk, source: str, path: str) -> None:
    """Copy a file's bytes, sharing them where the file system can; neither sealed nor synced.

    Raises:
        Refused: the disk is full; what was written is removed.
    """
    if os.path.lexists(path):
        disk.sys_unlink(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(source, "rb") as stream:
        descriptor = disk.sys_open(path, flags)
        try:
            if not _cloned(descriptor, stream.fileno()):
                for chunk in iter(lambda: stream.read(digests.CHUNK_BYTES), b""):
                    write_all(disk, descriptor, chunk)
        except OSError as exc:
            if exc.errno not in NO_SPACE:
                raise
            disk.sys_unlink(path)
            raise disk_full(path, os.path.getsize(source)) from exc
        finally:
            disk.sys_close(descriptor)


def write_all(disk: Disk, descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[disk.sys_write(descriptor, bytes(left)) :]


def disk_full(path: str, needed_bytes: int) -> Refused:
    """The refusal that names how much was needed and how much is there."""
    try:
        space = os.statvfs(os.path.dirname(path))
        free = space.f_bavail * space.f_frsize
    except OSError:
        free = 0
    return Refused(
        "The device's disk is full.",
        detail=f"{shown_bytes(needed_bytes)} were to be written and {shown_bytes(free)} are free."
        " What runs keeps running; an upload that stopped here can be resumed.",
        hint="Make room, for example by removing old generations:\n    edgeform gc",
    )


def _cloned(descriptor: int, source: int) -> bool:
    try:
        fcntl.ioctl(descriptor, _FICLONE, source)
    except OSError as exc:
        if exc.errno in NO_SPACE:
            raise
        return False
    return True


def _digest_of_name(shard: str, name: str) -> Optional[str]:
    rest = name[: -len(".x")] if name.endswith(".x") else name
    if len(rest) != 62 or not _HEX.issuperset(rest):
        return None
    return digests.PREFIX + shard + rest


def _digest_or_nothing(path: str) -> str:
    try:
        return digests.of_file(path)
    except OSError:
        return ""


def _is_dangling(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)
