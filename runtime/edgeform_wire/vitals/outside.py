"""What a machine stands on: disks and their wear, the supply, the network, the clock.

Sources: kernel Documentation/driver-api/mmc/mmc-dev-attrs.rst (life_time, pre_eol_info, as in JEDEC eMMC
5.0), Documentation/block/stat.rst (sectors of 512 bytes), Documentation/ABI/testing/sysfs-fs-ext4
(errors_count, lifetime_write_kbytes), Documentation/hwmon/ina3221.rst (rails of a Jetson),
Documentation/ABI/testing/sysfs-class-power, Documentation/ABI/testing/sysfs-class-net (operstate),
Documentation/networking/proc_net_tcp.rst and route(8) for /proc/net/route. Wear of an NVMe or SATA disk
needs an ioctl and stands in no file.
"""

from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

from edgeform_wire.vitals.tree import Tree

BLOCK, NET, SUPPLY, HWMON = (
    "/sys/block",
    "/sys/class/net",
    "/sys/class/power_supply",
    "/sys/class/hwmon",
)
EXT4 = "/sys/fs/ext4"
SECTOR_BYTES = 512
NO_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")
END_OF_LIFE = {1: "normal", 2: "warning", 3: "urgent"}
SYNCHRONISED = "/run/systemd/timesync/synchronized"


@dataclass(frozen=True)
class Disk:
    """Args:
    written_bytes: since the boot.
    wear_share: of its life that is used, in steps of a tenth, upper bound; None where no file says so.
    reserve: normal, warning or urgent, as the disk says of its spare blocks; empty where it does not.
    """

    name: str
    size_bytes: int
    written_bytes: int
    wear_share: Optional[float]
    reserve: str


@dataclass(frozen=True)
class Rail:
    name: str
    watts: float


@dataclass(frozen=True)
class Supply:
    """A battery or mains; `charge_share` is None for what has none."""

    name: str
    kind: str
    is_online: Optional[bool]
    charge_share: Optional[float]


@dataclass(frozen=True)
class Interface:
    name: str
    is_up: bool
    received_bytes: int
    sent_bytes: int
    errors: int


def disks(tree: Tree) -> Tuple[Disk, ...]:
    found = []
    for name in tree.names(BLOCK):
        # The boot and replay-protected parts of an eMMC are no disks of their own.
        if name.startswith(NO_DISKS) or (name.startswith("mmcblk") and not name[6:].isdigit()):
            continue
        stat = tree.text(f"{BLOCK}/{name}/stat").split()
        found.append(
            Disk(
                name=name,
                size_bytes=(tree.number(f"{BLOCK}/{name}/size") or 0) * SECTOR_BYTES,
                written_bytes=int(stat[6]) * SECTOR_BYTES
                if len(stat) > 6 and stat[6].isdigit()
                else 0,
                wear_share=_wear(tree.text(f"{BLOCK}/{name}/device/life_time")),
                reserve=END_OF_LIFE.get(
                    tree.number(f"{BLOCK}/{name}/device/pre_eol_info") or 0, ""
                ),
            )
        )
    return tuple(found)


def file_system_errors(tree: Tree) -> int:
    """What ext4 has counted over all its file systems, since they were made or checked."""
    counts = (tree.number(f"{EXT4}/{name}/errors_count") for name in tree.names(EXT4))
    return sum(count for count in counts if count is not None)


def rails(tree: Tree) -> Tuple[Rail, ...]:
    """Power by rail, from the sensors of a board that has them."""
    return tuple(_rails(tree))


def supplies(tree: Tree) -> Tuple[Supply, ...]:
    found = []
    for name in tree.names(SUPPLY):
        online = tree.number(f"{SUPPLY}/{name}/online")
        charge = tree.number(f"{SUPPLY}/{name}/capacity")
        found.append(
            Supply(
                name=name,
                kind=tree.text(f"{SUPPLY}/{name}/type").lower(),
                is_online=None if online is None else online > 0,
                charge_share=None if charge is None else charge / 100,
            )
        )
    return tuple(found)


def interfaces(tree: Tree) -> Tuple[Interface, ...]:
    """Every network interface but the loopback."""
    return tuple(
        Interface(
            name=name,
            is_up=tree.text(f"{NET}/{name}/operstate") == "up",
            received_bytes=tree.number(f"{NET}/{name}/statistics/rx_bytes") or 0,
            sent_bytes=tree.number(f"{NET}/{name}/statistics/tx_bytes") or 0,
            errors=sum(
                tree.number(f"{NET}/{name}/statistics/{way}_errors") or 0 for way in ("rx", "tx")
            ),
        )
        for name in tree.names(NET)
        if name != "lo" and tree.exists(f"{NET}/{name}/operstate")
    )


def has_route(tree: Tree) -> bool:
    """Whether there is a way out, by IPv4 or IPv6."""
    for line in tree.text("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            return True
    for line in tree.text("/proc/net/ipv6_route").splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            return True
    return False


def is_synchronised(tree: Tree) -> Optional[bool]:
    """Whether systemd-timesyncd has set the clock in this boot; None where another program does, or none."""
    if not tree.exists("/run/systemd/timesync"):
        return None
    return tree.exists(SYNCHRONISED)


def _wear(text: str) -> Optional[float]:
    """The worse of the two areas of an eMMC: 0x01 is up to a tenth used, 0x0b more than all of it."""
    found = []
    for word in text.split():
        try:
            value = int(word, 16)
        except ValueError:
            continue
        if 1 <= value <= 11:
            found.append(value / 10)
    return max(found) if found else None


def _rails(tree: Tree) -> Iterator[Rail]:
    for chip in tree.names(HWMON):
        folder = f"{HWMON}/{chip}"
        if tree.text(f"{folder}/name") != "ina3221":
            continue
        for channel in ("1", "2", "3"):
            label = tree.text(f"{folder}/in{channel}_label")
            volts = tree.number(f"{folder}/in{channel}_input")
            amperes = tree.number(f"{folder}/curr{channel}_input")
            if label and label != "NC" and volts is not None and amperes is not None:
                yield Rail(label, round(volts * amperes / 1e6, 3))
