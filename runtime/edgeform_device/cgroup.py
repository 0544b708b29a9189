"""How much memory a process may still take before its control group's limit ends it.

What counts against a limit and can be had back at once (inactive page cache) is not counted as taken:
that is the working set by which a kubelet evicts, too. Both hierarchies are read.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.current, memory.stat) and
cgroup-v1/memory.rst (memory.limit_in_bytes, memory.usage_in_bytes, total_inactive_file).
"""

import os
from typing import Iterator, Optional, Tuple

MOUNT = "sys/fs/cgroup"
UNLIMITED_BYTES = 1 << 60
"""The first hierarchy writes a number of pages near 2^63 where there is no limit."""

_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def headroom_bytes(pid: int, root: str = "/") -> Optional[int]:
    """What is left below the tightest limit on the way to the process; None where nothing limits it."""
    found = [
        left
        for folder, names in _groups(pid, root)
        for left in (_left(folder, names),)
        if left is not None
    ]
    return min(found) if found else None


def _groups(pid: int, root: str) -> Iterator[Tuple[str, Tuple[str, str, str]]]:
    """The folders of a process's groups, the innermost first, with the names of their files."""
    for line in _text(os.path.join(root, f"proc/{pid}/cgroup")).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base, names = os.path.join(root, MOUNT), _V2
        elif "memory" in controllers.split(","):
            base, names = os.path.join(root, MOUNT, "memory"), _V1
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), -1, -1):
            yield os.path.join(base, *parts[:depth]), names


def _left(folder: str, names: Tuple[str, str, str]) -> Optional[int]:
    limit, used, reclaimable = names
    most, now = (
        _number(_text(os.path.join(folder, limit))),
        _number(_text(os.path.join(folder, used))),
    )
    if most is None or now is None or most >= UNLIMITED_BYTES:
        return None
    cache = 0
    for line in _text(os.path.join(folder, "memory.stat")).splitlines():
        name, _, value = line.partition(" ")
        if name == reclaimable:
            cache = _number(value) or 0
    return max(0, most - max(0, now - cache))


def _number(text: str) -> Optional[int]:
    text = text.strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read(65536)
    except OSError:
        return ""
