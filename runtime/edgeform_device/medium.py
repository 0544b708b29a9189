"""A repository in a folder: a mounted stick, a share, a store that was pushed there.

Anybody may have written it, and it may be pulled out at any byte. Plain files only, no link is followed,
nothing is run from it, and what was read once is never read again: callers keep the copy.
"""

import errno
import os
import stat
from typing import Iterator, Optional, Tuple

from edgeform_device.errors import DeviceError, Incomplete, NotTrusted, Refused
from edgeform_wire import bundle

CHUNK_BYTES = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TMP = ".tmp"


class Folder:
    """A folder that holds a repository, or a stick with one in its folder `edgeform`."""

    road = "usb"

    def __init__(self, path: str) -> None:
        self.place = os.path.abspath(path)
        inner = os.path.join(self.place, bundle.FOLDER)
        self._top = inner if os.path.isdir(inner) else self.place
        if not os.path.isdir(self._top):
            raise Refused(
                f"{path!r:.200} is no folder.",
                hint="Mount the stick, and name the folder where it is mounted:\n"
                "    mount -o ro,nosuid,nodev,noexec /dev/sda1 /mnt",
            )

    def read(self, name: str, limit: int) -> Optional[bytes]:
        """At most limit + 1 bytes of a file; None where there is no such file.

        Raises:
            NotTrusted: a link or a special file. Incomplete: it cannot be read any more.
        """
        found = self._open(name)
        if found is None:
            return None
        try:
            # Even closing can fail where the file system is gone.
            with os.fdopen(found, "rb") as stream:
                return stream.read(limit + 1)
        except OSError as exc:
            raise self._gone(name, exc) from exc

    def size(self, name: str) -> Optional[int]:
        """How long a file is; None where there is none."""
        found = self._open(name)
        if found is None:
            return None
        try:
            with os.fdopen(found, "rb", buffering=0) as stream:
                return os.fstat(stream.fileno()).st_size
        except OSError as exc:
            raise self._gone(name, exc) from exc

    def pieces(self, name: str, offset: int) -> Iterator[bytes]:
        """A file's bytes from an offset on; nothing where there is no such file."""
        found = self._open(name)
        if found is None:
            return
        try:
            with os.fdopen(found, "rb", buffering=0) as stream:
                stream.seek(offset)
                while True:
                    piece = stream.read(CHUNK_BYTES)
                    if not piece:
                        return
                    yield piece
        except OSError as exc:
            raise self._gone(name, exc) from exc

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, whole or not at all.

        Raises:
            OSError: read-only, full, gone. Refused: there is something else of that name.
        """
        folders, last = self._below_home(name)
        at = os.open(self._top, _FOLDER)
        try:
            for folder in folders:
                try:
                    os.mkdir(folder, 0o755, dir_fd=at)
                except FileExistsError:
                    pass
                else:
                    # On FAT nothing but this brings the folder's entry to the medium: pulled out without
                    # umount, a stick had the file and no way to it (a real vfat, 2026-11-28).
                    os.fsync(at)
                below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            try:
                # What stands there may be a link to a file of this very device.
                os.unlink(last + _TMP, dir_fd=at)
            except FileNotFoundError:
                pass
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(last + _TMP, flags, 0o644, dir_fd=at), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
                os.rename(last + _TMP, last, src_dir_fd=at, dst_dir_fd=at)
                # FAT gives the new name its size and its first cluster only when the file is synced again.
                os.fsync(stream.fileno())
            os.fsync(at)
        finally:
            os.close(at)

    def _below_home(self, name: str) -> Tuple[Tuple[str, ...], str]:
        """Folders and name of what is put here: in a folder of our own, where nothing of ours is yet."""
        *folders, last = self._segments(name)
        is_store = os.path.isdir(os.path.join(self._top, "trust"))
        is_ours = os.path.basename(self._top) == bundle.FOLDER
        if self._top == self.place and not is_store and not is_ours:
            folders.insert(0, bundle.FOLDER)
        return tuple(folders), last

    def _open(self, name: str) -> Optional[int]:
        *folders, last = self._segments(name)
        try:
            at = os.open(self._top, _FOLDER)
        except OSError as exc:
            raise self._gone(name, exc) from exc
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            found = os.open(last, _FILE, dir_fd=at)
            is_file = stat.S_ISREG(os.fstat(found).st_mode)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise _not_a_file(name) from exc
            raise self._gone(name, exc) from exc
        finally:
            os.close(at)
        if not is_file:
            os.close(found)
            raise _not_a_file(name)
        return found

    def _segments(self, name: str) -> Tuple[str, ...]:
        segments = tuple(name.split("/"))
        if any(s in ("", ".", "..") or "\0" in s for s in segments):
            raise AssertionError(f"{name!r} is no name of a file")
        return segments

    def _gone(self, name: str, exc: OSError) -> DeviceError:
        return Incomplete(
            f"{name[-90:]} cannot be read: {exc.strerror}.",
            detail=f"It is on {self.place}. What was copied before is kept, and nothing was switched.",
            hint="Put the stick in again and repeat the command; it goes on where it stopped.\n"
            "If it happens at the same file again, make the stick anew.",
        )


def _not_a_file(name: str) -> NotTrusted:
    return NotTrusted(
        f"{name[-90:]!r} is a link or a special file.",
        detail="A stick has plain files and folders only. Nothing was changed.",
        hint="Make the stick anew:\n    edgeform bundle create --to DIR",
    )
