"""A file system in memory that knows what is on the medium and what is only in the page cache.

It runs the real `Disk`, call by call. The rules are the pessimistic reading of POSIX: an fsync of a
file makes its bytes durable, an fsync of a directory makes its entries durable, and nothing else does.
After a cut each directory keeps any subset of its pending entry changes, independent of the others, and
each unsynced file holds its old bytes, its new ones, half of them, or none.
"""

import errno
import os
import stat
from dataclasses import dataclass, field

from edgeform_device.durable import Disk

MAX_STATES_PER_CUT = 64


@dataclass(eq=False)
class File:
    content: bytes = b""
    durable: bytes = b""

    @property
    def is_dirty(self):
        return self.content != self.durable


@dataclass(eq=False)
class Link:
    target: str


@dataclass(eq=False)
class Dir:
    entries: dict = field(default_factory=dict)
    durable: dict = field(default_factory=dict)
    pending: list = field(default_factory=list)  # each: ((name, node or None), ...) as one step

    def change(self, *changes):
        for name, node in changes:
            if node is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = node
        self.pending.append(changes)

    def sync(self):
        self.durable = dict(self.entries)
        self.pending = []


class MemoryDisk(Disk):
    """The real `Disk` over a tree in memory.

    Args:
        before_call: is called with (name of the system call, path) before each one that changes
            something, and may raise: an error of the device, or the end of the process.
    """

    def __init__(self, root=None, reserve=None, before_call=None):
        super().__init__(reserve)
        self.root = root or Dir()
        self.before_call = before_call or (lambda name, path: None)
        self._open = {}
        self._next_fd = 1000

    # Finding.

    def _walk(self, path):
        node = self.root
        for part in [p for p in path.split("/") if p]:
            if not isinstance(node, Dir):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            if part not in node.entries:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = node.entries[part]
        return node

    def _place(self, path):
        parent = self._walk(os.path.dirname(path))
        if not isinstance(parent, Dir):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return parent, os.path.basename(path)

    # System calls.

    def sys_open(self, path, flags, mode=0o600):
        try:
            node = self._walk(path)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            self.before_call("open", path)
            parent, name = self._place(path)
            node = File()
            parent.change((name, node))
        else:
            if flags & os.O_TRUNC and node.content:
                self.before_call("open", path)
                node.content = b""
        self._next_fd += 1
        self._open[self._next_fd] = (node, path)
        return self._next_fd

    def sys_write(self, fd, content):
        node, path = self._open[fd]
        self.before_call("write", path)
        node.content += content
        return len(content)

    def sys_pread(self, fd, size_bytes, offset):
        return self._open[fd][0].content[offset : offset + size_bytes]

    def sys_size(self, fd):
        return len(self._open[fd][0].content)

    def sys_truncate(self, fd, size_bytes):
        node, path = self._open[fd]
        self.before_call("truncate", path)
        node.content = node.content[:size_bytes]

    def sys_chmod(self, fd, mode):
        pass

    def sys_fsync(self, fd):
        node, path = self._open[fd]
        self.before_call("fsync", path)
        if isinstance(node, Dir):
            node.sync()
        else:
            node.durable = node.content

    def sys_close(self, fd):
        del self._open[fd]

    def sys_rename(self, source, path):
        self.before_call("rename", path)
        old_parent, old_name = self._place(source)
        if old_name not in old_parent.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        parent, name = self._place(path)
        node = old_parent.entries[old_name]
        there = parent.entries.get(name)
        if isinstance(there, Dir) and (not isinstance(node, Dir) or there.entries):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        assert parent is old_parent, "a rename between directories has no crash rule here"
        parent.change((old_name, None), (name, node))

    def sys_unlink(self, path):
        self.before_call("unlink", path)
        parent, name = self._place(path)
        if name not in parent.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        parent.change((name, None))

    def sys_symlink(self, target, path):
        self.before_call("symlink", path)
        parent, name = self._place(path)
        if name in parent.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        parent.change((name, Link(target)))

    def sys_readlink(self, path):
        return self._walk(path).target

    def sys_mkdir(self, path, mode):
        self.before_call("mkdir", path)
        parent, name = self._place(path)
        if name in parent.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        parent.change((name, Dir()))

    def sys_rmdir(self, path):
        self.before_call("rmdir", path)
        parent, name = self._place(path)
        if parent.entries[name].entries:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        parent.change((name, None))

    def sys_listdir(self, path):
        node = self._walk(path)
        if not isinstance(node, Dir):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return list(node.entries)

    def sys_lstat_mode(self, path):
        node = self._walk(path)
        kinds = {File: stat.S_IFREG, Dir: stat.S_IFDIR, Link: stat.S_IFLNK}
        return kinds[type(node)] | 0o755

    def settle(self):
        """Everything to the medium, as before a test begins."""
        _sync_all(self.root)


def _sync_all(node):
    if isinstance(node, Dir):
        node.sync()
        for child in node.entries.values():
            _sync_all(child)
    elif isinstance(node, File):
        node.durable = node.content


# What a cut may leave.


def frozen(node):
    """A durable tree as a nested tuple, which can be compared and hashed."""
    if isinstance(node, Dir):
        return ("dir", tuple(sorted((n, frozen(c)) for n, c in node.durable.items())))
    if isinstance(node, File):
        return ("file", node.durable)
    return ("link", node.target)


def thawed(value):
    """The tree of a nested tuple, all of it on the medium."""
    kind, content = value
    if kind == "dir":
        entries = {name: thawed(child) for name, child in content}
        return Dir(dict(entries), dict(entries), [])
    if kind == "file":
        return File(content, content)
    return Link(content)


def states_after_cut(root, most=MAX_STATES_PER_CUT):
    """Every tree that may be on the medium when the power goes now, as nested tuples.

    Where there are more than `most`, an even sample that has the first and the last.
    """
    choices = []
    _collect(root, choices, set())
    total = 1
    for _, options in choices:
        total *= len(options)
    count = min(total, most)
    for index in range(count):
        rest = index if total == count else index * (total - 1) // (count - 1)
        chosen = {}
        for node, options in choices:
            rest, choice = divmod(rest, len(options))
            chosen[id(node)] = options[choice]
        yield _resolved(root, chosen)


class Subsets:
    """Every choice of some of the pending changes, numbered, without a list of them all."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return 2**self.count

    def __getitem__(self, number):
        return tuple(bool(number >> n & 1) for n in range(self.count))


def _collect(node, choices, seen):
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Dir):
        if node.pending:
            choices.append((node, Subsets(len(node.pending))))
        reachable = list(node.durable.values())
        for changes in node.pending:
            reachable.extend(child for _, child in changes if child is not None)
        for child in reachable:
            _collect(child, choices, seen)
    elif isinstance(node, File) and node.is_dirty:
        half = node.content[: len(node.content) // 2]
        choices.append((node, sorted({node.durable, node.content, half, b""})))


def _resolved(node, chosen):
    if isinstance(node, Dir):
        entries = dict(node.durable)
        picked = chosen.get(id(node), ())
        for kept, changes in zip(picked, node.pending):  # noqa: B905  Python 3.8 has no strict
            if kept:
                for name, child in changes:
                    if child is None:
                        entries.pop(name, None)
                    else:
                        entries[name] = child
        return ("dir", tuple(sorted((n, _resolved(c, chosen)) for n, c in entries.items())))
    if isinstance(node, File):
        return ("file", chosen.get(id(node), node.durable))
    return ("link", node.target)
