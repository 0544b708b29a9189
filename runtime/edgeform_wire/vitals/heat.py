"""Temperatures, and whatever slows a machine down because of them or of its supply.

Sources: kernel Documentation/driver-api/thermal/sysfs-api.rst (thermal_zone*, trip_point_*,
cooling_device*), Documentation/hwmon/sysfs-interface.rst (temp*_input, temp*_crit, in*_lcrit_alarm),
Documentation/ABI/testing/sysfs-devices-system-cpu (thermal_throttle counts),
Documentation/hwmon/raspberrypi-hwmon.rst (rpi_volt); bits of get_throttled: Raspberry Pi documentation,
"vcgencmd get_throttled", and Linux include/soc/bcm2835/raspberrypi-firmware.h; over-current events of a
Jetson: NVIDIA Jetson Linux Developer Guide, "Jetson Orin platform power and performance" (hwmon
`soctherm_oc`, oc*_event_cnt).
"""

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

from edgeform_wire.vitals.tree import Tree

ZONES, HWMON, CPUS = "/sys/class/thermal", "/sys/class/hwmon", "/sys/devices/system/cpu"
PLATFORM = "/sys/devices/platform"
PI_BITS = ("under_voltage", "frequency_capped", "throttled", "temperature_limit")
PLAUSIBLE_C = (-60.0, 200.0)
"""A sensor that is off reads as -256 or 0xFFFF on more than one board."""


@dataclass(frozen=True)
class Temperature:
    """One sensor.

    Args:
        limit_celsius: where the machine shuts down or takes harm; None where nobody says.
    """

    name: str
    celsius: float
    limit_celsius: Optional[float]


@dataclass(frozen=True)
class Brake:
    """Something that slows the machine down.

    Args:
        cause: one word. is_now: whether it does at this moment; None where only events are counted.
        events: how often since the boot, or 1 for "at least once"; None where nobody counts.
    """

    cause: str
    is_now: Optional[bool]
    events: Optional[int]


def temperatures(tree: Tree) -> Tuple[Temperature, ...]:
    """Every sensor that gives a plausible value; names may repeat."""
    return tuple(
        found
        for found in (*_zones(tree), *_chips(tree))
        if PLAUSIBLE_C[0] <= found.celsius <= PLAUSIBLE_C[1]
    )


def brakes(tree: Tree) -> Tuple[Brake, ...]:
    """All that is known about slowing down, also what does not at the moment."""
    return (*_pi(tree), *_undervolted(tree), *_intel(tree), *_over_current(tree), *_cooling(tree))


def _zones(tree: Tree) -> Iterator[Temperature]:
    for name in tree.names(ZONES):
        folder = f"{ZONES}/{name}"
        value = tree.number(f"{folder}/temp")
        if not name.startswith("thermal_zone") or value is None:
            continue
        limits = [
            tree.number(f"{folder}/{trip[: -len('type')]}temp")
            for trip in tree.names(folder)
            if trip.startswith("trip_point_")
            and trip.endswith("_type")
            and tree.text(f"{folder}/{trip}") == "critical"
        ]
        told = [limit / 1000 for limit in limits if limit is not None and limit > 0]
        yield Temperature(
            tree.text(f"{folder}/type") or name, value / 1000, min(told) if told else None
        )


def _chips(tree: Tree) -> Iterator[Temperature]:
    for chip in tree.names(HWMON):
        folder = f"{HWMON}/{chip}"
        name = tree.text(f"{folder}/name") or chip
        for entry in tree.names(folder):
            if not (entry.startswith("temp") and entry.endswith("_input")):
                continue
            value = tree.number(f"{folder}/{entry}")
            if value is None:
                continue
            stem = entry[: -len("_input")]
            label = tree.text(f"{folder}/{stem}_label")
            limit = tree.number(f"{folder}/{stem}_crit")
            yield Temperature(
                f"{name} {label}".strip(),
                value / 1000,
                limit / 1000 if limit is not None and limit > 0 else None,
            )


def _pi(tree: Tree) -> Iterator[Brake]:
    for bus in tree.names(PLATFORM):
        for device in tree.names(f"{PLATFORM}/{bus}"):
            path = f"{PLATFORM}/{bus}/{device}/get_throttled"
            text = tree.text(path) if "firmware" in device else ""
            try:
                bits = int(text, 16)
            except ValueError:
                continue
            for bit, cause in enumerate(PI_BITS):
                yield Brake(cause, bool(bits >> bit & 1), bits >> (bit + 16) & 1)
            return


def _undervolted(tree: Tree) -> Iterator[Brake]:
    for chip in tree.names(HWMON):
        alarm = tree.number(f"{HWMON}/{chip}/in0_lcrit_alarm")
        if tree.text(f"{HWMON}/{chip}/name") == "rpi_volt" and alarm is not None:
            yield Brake("supply_alarm", bool(alarm), None)


def _intel(tree: Tree) -> Iterator[Brake]:
    counts: Dict[str, List[int]] = {"core": [], "package": []}
    for cpu in tree.names(CPUS):
        for which, found in counts.items():
            value = tree.number(f"{CPUS}/{cpu}/thermal_throttle/{which}_throttle_count")
            if value is not None:
                found.append(value)
    for which, found in counts.items():
        if found:
            # Every CPU of a package shows the package's own count.
            yield Brake(f"{which}_throttled", None, sum(found) if which == "core" else max(found))


def _over_current(tree: Tree) -> Iterator[Brake]:
    for chip in tree.names(HWMON):
        folder = f"{HWMON}/{chip}"
        if tree.text(f"{folder}/name") != "soctherm_oc":
            continue
        for entry in tree.names(folder):
            count = tree.number(f"{folder}/{entry}") if entry.endswith("_event_cnt") else None
            if count is not None:
                yield Brake(f"over_current_{entry[: -len('_event_cnt')]}", None, count)


def _cooling(tree: Tree) -> Iterator[Brake]:
    """Passive cooling: what is turned down, not the fans that are turned up."""
    for name in tree.names(ZONES):
        state = tree.number(f"{ZONES}/{name}/cur_state")
        kind = tree.text(f"{ZONES}/{name}/type")
        if not name.startswith("cooling_device") or state is None or not kind:
            continue
        if "fan" not in kind.lower():
            yield Brake(f"cooling_{_word(kind)}", state > 0, None)


def _word(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text.lower())[:40]
