"""All of it as one value, as JSON, and what of it is worth a sentence."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Tuple

from edgeform_wire.vitals import heat, load, outside
from edgeform_wire.vitals.heat import Brake, Temperature
from edgeform_wire.vitals.load import Accelerator, Cpu, Memory
from edgeform_wire.vitals.outside import Disk, Interface, Rail, Supply
from edgeform_wire.vitals.tree import Tree

NEAR_LIMIT_C = 5.0
WORN_SHARE = 0.9
SHORT_SHARE = 0.05


@dataclass(frozen=True)
class Vitals:
    """How a machine is at one moment.

    Args:
        uptime_s: since the boot.
        is_synchronised: whether the clock was set in this boot; None where that cannot be seen.
        unclean_boots: boots that no orderly shutdown came before, as the device tool counts; None where it
            does not.
    """

    uptime_s: float
    cpu: Cpu
    memory: Memory
    accelerators: Tuple[Accelerator, ...]
    temperatures: Tuple[Temperature, ...]
    brakes: Tuple[Brake, ...]
    rails: Tuple[Rail, ...]
    supplies: Tuple[Supply, ...]
    disks: Tuple[Disk, ...]
    file_system_errors: int
    interfaces: Tuple[Interface, ...]
    has_route: bool
    is_synchronised: Optional[bool]
    unclean_boots: Optional[int]

    @property
    def hottest_celsius(self) -> Optional[float]:
        return max((t.celsius for t in self.temperatures), default=None)

    @property
    def is_slowed(self) -> bool:
        return any(brake.is_now for brake in self.brakes)

    def to_json(self) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, tuple):
                found[name] = [dict(vars(item)) for item in value]
            else:
                found[name] = dict(vars(value)) if hasattr(value, "__dataclass_fields__") else value
        return found


def vitals(root: str = "/", unclean_boots: Optional[int] = None) -> Vitals:
    """The machine below a root; what it does not tell is empty, zero or None."""
    tree = Tree(root)
    uptime = tree.text("/proc/uptime").split()
    return Vitals(
        uptime_s=float(uptime[0]) if uptime and uptime[0].replace(".", "", 1).isdigit() else 0.0,
        cpu=load.cpu(tree),
        memory=load.memory(tree),
        accelerators=load.accelerators(tree),
        temperatures=heat.temperatures(tree),
        brakes=heat.brakes(tree),
        rails=outside.rails(tree),
        supplies=outside.supplies(tree),
        disks=outside.disks(tree),
        file_system_errors=outside.file_system_errors(tree),
        interfaces=outside.interfaces(tree),
        has_route=outside.has_route(tree),
        is_synchronised=outside.is_synchronised(tree),
        unclean_boots=unclean_boots,
    )


def worries(found: Vitals) -> Tuple[str, ...]:
    """What a person should look at, a sentence each; empty where nothing speaks against the machine."""
    return (*_of_heat(found), *_of_memory(found.memory), *_of_disks(found), *_of_links(found))


def _of_heat(found: Vitals) -> Iterator[str]:
    for sensor in found.temperatures:
        limit = sensor.limit_celsius
        if limit is not None and sensor.celsius >= limit - NEAR_LIMIT_C:
            yield f"{sensor.name} is at {sensor.celsius:.0f} °C, its limit is {limit:.0f} °C"
    slowed = sorted({brake.cause for brake in found.brakes if brake.is_now})
    if slowed:
        yield f"slowed down now: {', '.join(slowed)}"


def _of_memory(memory: Memory) -> Iterator[str]:
    if memory.total_bytes and memory.available_bytes < SHORT_SHARE * memory.total_bytes:
        yield f"only {memory.available_bytes // 2**20} MiB of memory are available"
    if memory.oom_kills:
        many = "1 process" if memory.oom_kills == 1 else f"{memory.oom_kills} processes"
        yield f"the kernel ended {many} for want of memory since the boot"


def _of_disks(found: Vitals) -> Iterator[str]:
    for disk in found.disks:
        if disk.wear_share is not None and disk.wear_share >= WORN_SHARE:
            yield f"{disk.name} has used {min(disk.wear_share, 1):.0%} of its life"
        if disk.reserve in ("warning", "urgent"):
            yield f"{disk.name} says {disk.reserve} about its spare blocks"
    if found.file_system_errors:
        yield f"ext4 has counted {found.file_system_errors} errors"


def _of_links(found: Vitals) -> Iterator[str]:
    for supply in found.supplies:
        if supply.kind == "mains" and supply.is_online is False:
            yield f"{supply.name} gives no power"
    if found.interfaces and not found.has_route:
        yield "there is no route out of this network"
    if found.is_synchronised is False:
        yield "the clock was not set in this boot"
