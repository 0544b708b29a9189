"""How many threads an engine may have: more than the cores it gets is a cliff, not a slope.

MobileNetV2 with 2 threads on one core: ONNX Runtime 3.4 to 7.4 ms, tflite-runtime 3.6 to 424 ms (x86-64,
2026-11).
"""

import os
from typing import Optional

CGROUPS = "/sys/fs/cgroup"
OWN_CGROUP = "/proc/self/cgroup"


def allowed_threads(asked: int, cgroups: str = CGROUPS, own: str = OWN_CGROUP) -> int:
    """What was asked for, or fewer: the cores this process may use, and its CPU quota rounded up."""
    limits = [asked, len(os.sched_getaffinity(0))]
    quota = cpu_quota(cgroups, own)
    if quota is not None:
        limits.append(-int(-quota // 1))
    return max(1, min(limits))


def cpu_quota(cgroups: str = CGROUPS, own: str = OWN_CGROUP) -> Optional[float]:
    """Cores' worth of CPU time that this process's control groups allow; None without a limit."""
    try:
        with open(own, encoding="utf-8") as stream:
            path = next((line[3:].strip() for line in stream if line.startswith("0::")), None)
    except OSError:
        return None
    if path is None:
        return None  # version 1: units of systemd since 226 on our systems have version 2
    found = []
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts), -1, -1):
        try:
            with open(os.path.join(cgroups, *parts[:depth], "cpu.max"), encoding="ascii") as stream:
                quota, period = stream.read().split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found) if found else None
