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
_ABSENT = (FileNotFoundError, NotADirectoryError)


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

    # The system calls, one method each, and nothing else touches the file system.

    def sys_open(self, path: str, flags: int, mode: int = 0o600) -> int:
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def sys_write(self, fd: int, content: bytes) -> int:
        return os.write(fd, content)

    def sys_pread(self, fd: int, size_bytes: int, offset: int) -> bytes:
        return os.pread(fd, size_bytes, offset)

    def sys_size(self, fd: int) -> int:
        return os.fstat(fd).st_size

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

    def sys_readlink(self, path: str) -> str:
        return os.readlink(path)

    def sys_link(self, source: str, path: str) -> None:
        os.link(source, path)

    def sys_mkdir(self, path: str, mode: int) -> None:
        os.mkdir(path, mode)

    def sys_rmdir(self, path: str) -> None:
        os.rmdir(path)

    def sys_listdir(self, path: str) -> List[str]:
        return os.listdir(path)

    def sys_lstat_mode(self, path: str) -> int:
        return os.lstat(path).st_mode

    # Reading: never retried; what is not there is None or empty.

    def read(self, path: str) -> Optional[bytes]:
        """The bytes of a file; None where there is no such file."""
        try:
            fd = self.sys_open(path, os.O_RDONLY)
        except _ABSENT:
            return None
        try:
            return self.sys_pread(fd, self.sys_size(fd), 0)
        finally:
            self.sys_close(fd)

    def read_link(self, path: str) -> Optional[str]:
        """What a symbolic link says; None where there is no link."""
        return self.sys_readlink(path) if stat.S_ISLNK(self._mode(path)) else None

    def names(self, path: str) -> List[str]:
        """The sorted names in a directory; none where there is no such directory."""
        try:
            return sorted(self.sys_listdir(path))
        except _ABSENT:
            return []

    def exists(self, path: str) -> bool:
        """Whether anything has this name; a link counts wherever it leads."""
        return self._mode(path) != 0

    def is_dir(self, path: str) -> bool:
        return stat.S_ISDIR(self._mode(path))

    def _mode(self, path: str) -> int:
        try:
            return self.sys_lstat_mode(path)
        except _ABSENT:
            return 0

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
        if self.is_dir(tmp):
            self.sync_tree(tmp)
        else:
            self.sync_file(tmp)
        self.rename(tmp, path)

    def replace_link(self, path: str, target: str) -> None:
        """Make `path` a symbolic link to `target`; at no moment is there no link."""
        tmp = path + TMP

        def attempt() -> None:
            # A cut between symlink and rename leaves one behind, and symlink() never overwrites.
            if self.exists(tmp):
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
        if not self.exists(path):
            return False
        if not self.is_dir(path):
            return self.remove(path)
        gone = path if path.endswith(TMP) else path + TMP
        if gone != path:
            if self.exists(gone):
                self._unlink_below(gone)
            self.sys_rename(path, gone)
            self.sync_dir(os.path.dirname(path))
        self._unlink_below(gone)
        self.sync_dir(os.path.dirname(path))
        return True

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory and its missing parents, each one synced into its parent."""
        if self.is_dir(path):
            return
        parent = os.path.dirname(path)
        if parent and parent != path:
            self.mkdir(parent)

        def attempt() -> None:
            try:
                self.sys_mkdir(path, mode)
            except FileExistsError:
                if not self.is_dir(path):
                    raise

        self._spending_reserve(attempt)
        self.sync_dir(parent)

    def append_line(self, path: str, line: bytes, mode: int = 0o644) -> None:
        """Add one line to a log and sync it. A torn last line of an earlier cut is removed first.

        A line without its line feed was never acknowledged, so nothing that anybody relies on is lost.
        """
        is_new = not self.exists(path)

        def attempt() -> None:
            fd = self.sys_open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, mode)
            try:
                whole = self._whole_lines_bytes(fd)
                if whole != self.sys_size(fd):
                    self.sys_truncate(fd, whole)
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
        for name in self.names(path):
            full = os.path.join(path, name)
            mode = self._mode(full)
            if stat.S_ISDIR(mode):
                self.sync_tree(full)
            elif stat.S_ISREG(mode):
                self.sync_file(full)
        self.sync_dir(path)

    # The reserve.

    def fill_reserve(self, size_bytes: int = RESERVE_BYTES) -> None:
        """Set the reserve aside again, if it is not there; a disk too full for it is left as it is."""
        if self._reserve is None or self.exists(self._reserve):
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
            if self.exists(tmp):
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
        if self._reserve is None or not self.exists(self._reserve):
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
        for name in self.names(path):
            full = os.path.join(path, name)
            if self.is_dir(full):
                self._unlink_below(full)
            else:
                self.sys_unlink(full)
        self.sys_rmdir(path)

    def _whole_lines_bytes(self, fd: int) -> int:
        """How many bytes of the file are lines that end in a line feed."""
        end = self.sys_size(fd)
        while end:
            start = max(0, end - CHUNK_BYTES)
            found = self.sys_pread(fd, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0
