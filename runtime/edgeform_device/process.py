"""What the kernel knows about a process: CPU time, memory, loaded libraries, open devices.

Read by the judge itself, so that a runtime cannot talk itself better than it is.
"""

import os
from typing import Tuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads since the process began; 0.0 if it is gone.

    Per-thread schedstat counts nanoseconds; stat's 10 ms ticks are the fallback where the kernel was
    built without it.
    """
    total_ns = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stream:
                total_ns += int(stream.read().split()[0])
        if total_ns:
            return total_ns / 1e9
    except (OSError, ValueError, IndexError):
        pass  # the fallback below
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, ValueError, IndexError):
        return 0.0


def resident_bytes(pid: int) -> int:
    """Resident memory; 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def evidence(pid: int) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """(paths of mapped files, paths of open device nodes) of a process; empty if it is gone."""
    maps = set()
    nodes = set()
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                path = line.rstrip("\n").partition("/")[2]
                if path:
                    maps.add("/" + path)
        directory = f"/proc/{pid}/fd"
        for number in os.listdir(directory):
            try:
                target = os.readlink(os.path.join(directory, number))
            except OSError:
                continue
            if target.startswith("/dev/"):
                nodes.add(target)
    except OSError:
        pass  # a process that is gone left no evidence, which is what the caller must see
    return tuple(sorted(maps)), tuple(sorted(nodes))
