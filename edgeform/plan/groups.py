"""Devices with the same diff, told once: a plan is read by people, and a fleet repeats itself."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from string import ascii_uppercase

from edgeform.plan.plan import (
    Blocked,
    Busy,
    Changed,
    DevicePlan,
    Held,
    Plan,
    Unchanged,
    Unreachable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Devices whose entries differ in nothing but name and base; `label` is A, B, ... AA."""

    label: str
    devices: tuple[DevicePlan, ...]

    @property
    def first(self) -> DevicePlan:
        return self.devices[0]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(device.device for device in self.devices)


_FIRST = (Changed, Held, Busy, Blocked, Unreachable, Unchanged)


def groups(plan: Plan, *, apart: bool = False) -> tuple[Group, ...]:
    """Every device of the plan in exactly one group: changes first, what is clean last.

    Args:
        apart: one group per device, for those who want to see each.
    """
    found: dict[object, list[DevicePlan]] = {}
    for device in plan.devices:
        found.setdefault(device.device if apart else _sameness(device), []).append(device)
    ordered = sorted(found.values(), key=lambda devices: _FIRST.index(type(devices[0])))
    return tuple(
        Group(label=_label(index), devices=tuple(devices)) for index, devices in enumerate(ordered)
    )


def _sameness(device: DevicePlan) -> object:
    match device:
        case Changed():
            return (Changed, device.hardware_class, device.changes, device.reasons)
        case Unchanged():
            return Unchanged
        case Unreachable():
            return (Unreachable, device.reason, _without(device.detail, device.device), device.hint)
        case Blocked():
            # The same problem on two devices differs in their names only.
            told = tuple(
                replace(p, address="", hint=_without(p.hint, device.device))
                for p in device.problems
            )
            return (Blocked, told)
        case Held():
            return (Held, device.detail)
        case Busy():
            return (Busy, device.transaction.who)


def _without(text: str, device: str) -> str:
    return text.replace(device, "")


def _label(index: int) -> str:
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, len(ascii_uppercase))
        letters = ascii_uppercase[rest] + letters
    return letters


def devices_named(names: Iterable[str], *, at_most: int = 3) -> str:
    """`a, b, c`, or `a … z` with the count of those between left to the reader of the group's head."""
    names = tuple(names)
    if len(names) <= at_most:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]}"
