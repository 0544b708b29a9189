"""How busy a machine is: CPU, memory, accelerators.

Sources: proc(5) (/proc/stat, /proc/loadavg, /proc/meminfo, /proc/vmstat), kernel
Documentation/accounting/psi.rst, Documentation/ABI/testing/sysfs-class-devfreq; load of a Jetson's GPU:
NVIDIA Jetson Linux Developer Guide (`load`, per mille); frequency of an Intel GPU: i915's gt_act_freq_mhz
(Documentation/gpu/i915.rst); Coral: coral.ai, "Manage the PCIe module temperature"
(/sys/class/apex/apex_0/temp, thousandths of a degree).
"""

import os
from dataclasses import dataclass
from typing import Dict, Iterator, Optional, Tuple

from edgeform_wire.vitals.tree import Tree

_TICKS = os.sysconf("SC_CLK_TCK")
GPU_LOADS = (
    "/sys/devices/gpu.0/load",
    "/sys/devices/platform/gpu.0/load",
    "/sys/devices/platform/bus@0/17000000.gpu/load",
)


@dataclass(frozen=True)
class Cpu:
    """Args:
    busy_s, total_s: since the boot, over all cores; the share between two looks is their difference.
    stalled_share: of the last minute, some task waited for a CPU; None where the kernel does not tell.
    """

    cores: int
    load_1m: float
    busy_s: float
    total_s: float
    stalled_share: Optional[float]


@dataclass(frozen=True)
class Memory:
    """`oom_kills`: processes that the kernel ended for want of memory since the boot."""

    total_bytes: int
    available_bytes: int
    swap_used_bytes: int
    oom_kills: int


@dataclass(frozen=True)
class Accelerator:
    """What an accelerator tells by itself; None for what it does not."""

    name: str
    busy_share: Optional[float]
    frequency_hz: Optional[int]
    celsius: Optional[float]


def cpu(tree: Tree) -> Cpu:
    fields = [int(f) for f in _line(tree.text("/proc/stat"), "cpu ").split() if f.isdigit()]
    idle = sum(fields[3:5])  # idle and iowait
    total = sum(fields[:8])  # guest time is in user time already
    load = tree.text("/proc/loadavg").split()
    return Cpu(
        cores=len(
            [n for n in tree.text("/proc/stat").splitlines() if n[:3] == "cpu" and n[3:4].isdigit()]
        ),
        load_1m=_real(load[0]) if load else 0.0,
        busy_s=(total - idle) / _TICKS,
        total_s=total / _TICKS,
        stalled_share=_pressure(tree.text("/proc/pressure/cpu")),
    )


def memory(tree: Tree) -> Memory:
    found: Dict[str, int] = {}
    for line in tree.text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdigit():
            found[name] = int(number[0]) * 1024
    kills = _line(tree.text("/proc/vmstat"), "oom_kill ").strip()
    return Memory(
        total_bytes=found.get("MemTotal", 0),
        available_bytes=found.get("MemAvailable", 0),
        swap_used_bytes=max(0, found.get("SwapTotal", 0) - found.get("SwapFree", 0)),
        oom_kills=int(kills) if kills.isdigit() else 0,
    )


def accelerators(tree: Tree) -> Tuple[Accelerator, ...]:
    return (*_jetson(tree), *_intel(tree), *_coral(tree))


def _jetson(tree: Tree) -> Iterator[Accelerator]:
    loads = [tree.number(path) for path in GPU_LOADS]
    busy = next((value / 1000 for value in loads if value is not None), None)
    for name in tree.names("/sys/class/devfreq"):
        if name.endswith((".gpu", ".gv11b", ".ga10b", ".gp10b")):
            frequency = tree.number(f"/sys/class/devfreq/{name}/cur_freq")
            yield Accelerator("gpu", busy, frequency, None)
            return
    if busy is not None:
        yield Accelerator("gpu", busy, None, None)


def _intel(tree: Tree) -> Iterator[Accelerator]:
    for name in tree.names("/sys/class/drm"):
        mhz = tree.number(f"/sys/class/drm/{name}/gt_act_freq_mhz")
        if mhz is not None:
            yield Accelerator(name, None, mhz * 1_000_000, None)


def _coral(tree: Tree) -> Iterator[Accelerator]:
    for name in tree.names("/sys/class/apex"):
        value = tree.number(f"/sys/class/apex/{name}/temp")
        yield Accelerator(name, None, None, None if value is None else value / 1000)


def _line(text: str, start: str) -> str:
    """What follows on the line that begins so; empty where there is none."""
    return next((line[len(start) :] for line in text.splitlines() if line.startswith(start)), "")


def _pressure(text: str) -> Optional[float]:
    for part in _line(text, "some ").split():
        name, _, value = part.partition("=")
        if name == "avg60":
            return _real(value) / 100
    return None


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
