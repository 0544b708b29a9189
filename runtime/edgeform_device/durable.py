"""A disk whose every change is either there after a power cut or never was.

What the tool writes goes through here, in the one order that survives: temporary name, write, fsync,
rename, fsync of the directory. Each system call is a method of its own (`sys_*`), so that the crash
model can record the real sequence and replay every cut through it. Nothing here knows what is written.
"""

import errno
import os
import stat
from typing import Callable, List, Optional, TypeVar

T = TypeVar("T")
Say = Callable[[str], None]

TMP = ".tmp"
RESERVE_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """Durable changes to files, links and directories.

    A call that returned is on the medium. A call that raised has changed nothing that a reader of the
    final name could see; it may have left a `.tmp` behind, which the next call on that name removes.

    Args:
        reserve: a file that is given up, once, when the disk is full, so that recovery has room.
        say: is told when that happens.
    """

    def __init__(self, reserve: Optional[str] = None, say: Optional[Say] = None) -> None:
        self._reserve = reserve
        self._say = say
        self.reserve_freed = False

    # The system calls, one method each.

    def sys_open(self, path: str, flags: int, mode: int = 0o600) -> int:
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def sys_write(self, fd: int, content: bytes) -> int:
        return os.write(fd, content)

    def sys_truncate(self, fd: int, size_bytes: int) -> None:
        os.ftruncate(fd, size_bytes)

    def sys_chmod(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)

    def sys_fsync(self, fd: int) -> None:
        os.fsync(fd)

    def sys_close(self, fd: int) -> None:
        os.close(fd)

    def sys_rename(self, source: str, path: str) -> None:
        os.rename(source, path)

    def sys_unlink(self, path: str) -> None:
        os.unlink(path)

    def sys_symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    def sys_link(self, source: str, path: str) -> None:
        os.link(source, path)

    def sys_mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def sys_rmdir(self, path: str) -> None:
        os.rmdir(path)

    # Reading: never durable, never retried.

    def read(self, path: str) -> Optional[bytes]:
        """The bytes of a file; None where there is no such file."""
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_link(self, path: str) -> Optional[str]:
        """What a symbolic link says; None where there is no link."""
        try:
            return os.readlink(path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno == errno.EINVAL:
                return None
            raise

    def names(self, path: str) -> List[str]:
        """The sorted names in a directory; none where there is no such directory."""
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    # Changing.

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Put a file with these bytes at `path`, replacing what was there as one step."""

        def attempt() -> None:
            tmp = path + TMP
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            fd = self.sys_open(tmp, flags, mode)
            try:
                self.sys_chmod(fd, mode)
                self._write_all(fd, content)
                self.sys_fsync(fd)
            finally:
                self.sys_close(fd)
            self.sys_rename(tmp, path)

        self._spending_reserve(attempt)
        self.sync_dir(os.path.dirname(path))

    def publish(self, tmp: str, path: str) -> None:
        """Give an already written file (or whole tree) its final name; its bytes are synced first."""
        if stat.S_ISDIR(os.lstat(tmp).st_mode):
            self.sync_tree(tmp)
        else:
            self.sync_file(tmp)
        self.rename(tmp, path)

    def replace_link(self, path: str, target: str) -> None:
        """Make `path` a symbolic link to `target`; at no moment is there no link."""
        tmp = path + TMP

        def attempt() -> None:
            # A cut between symlink and rename leaves one behind, and symlink() never overwrites.
            if os.path.lexists(tmp):
                self.sys_unlink(tmp)
            self.sys_symlink(target, tmp)
            self.sys_rename(tmp, path)

        self._spending_reserve(attempt)
        self.sync_dir(os.path.dirname(path))

    def rename(self, source: str, path: str) -> None:
        """Rename, durably in both directories.

        Raises:
            FileNotFoundError: there is no source; somebody else was faster.
        """
        self._spending_reserve(lambda: self.sys_rename(source, path))
        parent, old_parent = os.path.dirname(path), os.path.dirname(source)
        self.sync_dir(parent)
        if old_parent != parent:
            self.sync_dir(old_parent)

    def link(self, source: str, path: str) -> None:
        """A second name for a file; the caller syncs the directory when its last name is in."""
        self._spending_reserve(lambda: self.sys_link(source, path))

    def remove(self, path: str) -> bool:
        """Remove a file or link, durably; False where there was none."""
        try:
            self.sys_unlink(path)
        except FileNotFoundError:
            return False
        self.sync_dir(os.path.dirname(path))
        return True

    def remove_tree(self, path: str) -> bool:
        """Remove a directory and all in it (or a file); False where there was none.

        The tree disappears from its name first, so that a cut never leaves half of it there.
        """
        if not os.path.lexists(path):
            return False
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return self.remove(path)
        gone = path if path.endswith(TMP) else path + TMP
        if gone != path:
            if os.path.lexists(gone):
                self._unlink_below(gone)
            self.sys_rename(path, gone)
            self.sync_dir(os.path.dirname(path))
        self._unlink_below(gone)
        self.sync_dir(os.path.dirname(path))
        return True

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory and its missing parents, each one synced into its parent."""
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        if parent and parent != path:
            self.mkdir(parent)

        def attempt() -> None:
            try:
                self.sys_mkdir(path, mode)
            except FileExistsError:
                if not os.path.isdir(path):
                    raise

        self._spending_reserve(attempt)
        self.sync_dir(parent)

    def append_line(self, path: str, line: bytes, mode: int = 0o644) -> None:
        """Add one line to a log and sync it. A torn last line of an earlier cut is removed first.

        A line without its line feed was never acknowledged, so nothing that anybody relies on is lost.
        """
        is_new = not os.path.lexists(path)

        def attempt() -> None:
            fd = self.sys_open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
            try:
                whole = _whole_lines_bytes(fd)
                if whole != os.fstat(fd).st_size:
                    self.sys_truncate(fd, whole)
                os.lseek(fd, whole, os.SEEK_SET)
                self._write_all(fd, line.rstrip(b"\n") + b"\n")
                self.sys_fsync(fd)
            finally:
                self.sys_close(fd)

        self._spending_reserve(attempt)
        if is_new:
            self.sync_dir(os.path.dirname(path))

    def sync_file(self, path: str) -> None:
        self._sync(path, os.O_RDONLY | os.O_NOFOLLOW)

    def sync_dir(self, path: str) -> None:
        self._sync(path or ".", os.O_RDONLY | os.O_DIRECTORY)

    def sync_tree(self, path: str) -> None:
        """Sync every file and directory below, the deepest first, then the directory itself."""
        for where, _, files in os.walk(path, topdown=False):
            for name in sorted(files):
                full = os.path.join(where, name)
                if not os.path.islink(full):
                    self.sync_file(full)
            self.sync_dir(where)

    # The reserve.

    def fill_reserve(self, size_bytes: int = RESERVE_BYTES) -> None:
        """Set the reserve aside again, if it is not there; a disk too full for it is left as it is."""
        if self._reserve is None or os.path.lexists(self._reserve):
            return
        tmp = self._reserve + TMP
        try:
            fd = self.sys_open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
            try:
                # Random bytes: a compressing file system would set nothing aside for zeros.
                for _ in range(0, size_bytes, CHUNK_BYTES):
                    self._write_all(fd, os.urandom(min(size_bytes, CHUNK_BYTES)))
                self.sys_fsync(fd)
            finally:
                self.sys_close(fd)
        except OSError as exc:
            if exc.errno not in _NO_SPACE:
                raise
            if os.path.lexists(tmp):
                self.sys_unlink(tmp)
            return
        self.sys_rename(tmp, self._reserve)
        self.sync_dir(os.path.dirname(self._reserve))
        self.reserve_freed = False

    def _spending_reserve(self, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except OSError as exc:
            if exc.errno not in _NO_SPACE or not self._free_reserve():
                raise
        return attempt()

    def _free_reserve(self) -> bool:
        if self._reserve is None or not os.path.lexists(self._reserve):
            return False
        self.sys_unlink(self._reserve)
        self.sync_dir(os.path.dirname(self._reserve))
        self.reserve_freed = True
        if self._say is not None:
            self._say("the disk is full: reserve.bin was given up so that this step could finish")
        return True

    def _write_all(self, fd: int, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self.sys_write(fd, bytes(left[:CHUNK_BYTES])) :]

    def _sync(self, path: str, flags: int) -> None:
        fd = self.sys_open(path, flags)
        try:
            self.sys_fsync(fd)
        finally:
            self.sys_close(fd)

    def _unlink_below(self, path: str) -> None:
        for where, directories, files in os.walk(path, topdown=False):
            for name in files:
                self.sys_unlink(os.path.join(where, name))
            for name in directories:
                full = os.path.join(where, name)
                if os.path.islink(full):
                    self.sys_unlink(full)
                else:
                    self.sys_rmdir(full)
        self.sys_rmdir(path)


def _whole_lines_bytes(fd: int) -> int:
    """How many bytes of the file are lines that end in a line feed."""
    end = os.fstat(fd).st_size
    while end:
        start = max(0, end - CHUNK_BYTES)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
