"""What time it is at least, and whether the device really knows.

A device may have no battery-backed clock and no network. It always knows a *floor*: the time cannot
be earlier than when its tool was built, nor than the newest signed time it has seen. What has
expired against the floor is refused; whether something is fresh is only claimed with a clock that
somebody vouches for. Freshness is never pretended.
"""

import ctypes
import os
import time
from dataclasses import dataclass

from edgeform_device.errors import Stale

DAY_S = 86_400
# A clock further ahead of everything signed than this is broken (a dead battery also wakes up in
# 2036 or 2106): it would expire all metadata at once, so it is ignored like one that says 1970.
PLAUSIBLE_AHEAD_S = 5 * 365 * DAY_S
# Signer and device may differ by this much without the device's clock being called wrong.
SKEW_S = 5 * 60

KNOWN = "known"
UNKNOWN = "unknown"

_STA_UNSYNC = 0x0040  # <linux/timex.h>
_TIME_ERROR = 5


@dataclass(frozen=True)
class Clock:
    """What a device can say about the time before it has read any metadata.

    Args:
        built_s: when the device tool was built (Unix seconds): part of a signed artifact.
        now_s: what the system clock says.
        is_vouched: the kernel says that it is synchronised, or a battery-backed clock agrees with it.
        is_required: refuse to install unless the time is known (`require_clock` of the spec).
    """

    built_s: int
    now_s: int
    is_vouched: bool
    is_required: bool = False


@dataclass(frozen=True)
class TimeFloor:
    """No earlier than `floor_s`; `freshness` says whether that is also the time."""

    floor_s: int
    freshness: str


def time_floor(clock: Clock, last_signed_s: int = 0) -> TimeFloor:
    """The floor from the tool, the newest signed time seen, and the clock if it is plausible."""
    proven_s = max(clock.built_s, last_signed_s)
    is_plausible = proven_s - SKEW_S <= clock.now_s <= proven_s + PLAUSIBLE_AHEAD_S
    if not is_plausible:
        return TimeFloor(proven_s, UNKNOWN)
    return TimeFloor(max(proven_s, clock.now_s), KNOWN if clock.is_vouched else UNKNOWN)


def check_required(clock: Clock, floor: TimeFloor) -> None:
    """Refuse where the site demands a clock and this device has none to trust.

    Raises:
        Stale: `require_clock` is set and the time is unknown.
    """
    if not clock.is_required or floor.freshness == KNOWN:
        return
    raise Stale(
        "This site demands a trusted clock (require_clock), and this device has none.",
        detail=f"Its clock says {as_text(clock.now_s)}; the newest time it has proof of is "
        f"{as_text(floor.floor_s)}. How fresh the metadata is cannot be known, so nothing new is "
        "installed; what runs keeps running.",
        hint="Let the device synchronise its time (NTP, or a battery-backed clock), then try again:\n"
        "    timedatectl status",
    )


def read_clock(*, built_s: int, is_required: bool = False) -> Clock:
    """The clock of this machine, and whether anything vouches for it."""
    now_s = int(time.time())
    is_vouched = _kernel_is_synchronised() or _rtc_agrees(now_s)
    return Clock(built_s, now_s, is_vouched=is_vouched, is_required=is_required)


def as_text(unix_s: int) -> str:
    """A time for people: `2026-11-22T09:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


def _kernel_is_synchronised() -> bool:
    """Whether a time daemon holds the clock; adjtimex(2) needs no daemon of a known name."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    # struct timex is 208 bytes on 64-bit and 128 on 32-bit Linux; `modes` 0 only reads.
    buffer = (ctypes.c_long * 64)()
    state = adjtimex(ctypes.byref(buffer))
    if state < 0 or state == _TIME_ERROR:
        return False
    # modes (int, padded), offset, freq, maxerror, esterror, then the int `status`.
    return not int(buffer[5]) & _STA_UNSYNC


def _rtc_agrees(now_s: int, folder: str = "/sys/class/rtc") -> bool:
    """Whether a hardware clock says the same, give or take a minute."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return False
    for name in names:
        try:
            with open(os.path.join(folder, name, "since_epoch"), encoding="ascii") as stream:
                rtc_s = int(stream.read(32))
        except (OSError, ValueError):
            continue
        if abs(rtc_s - now_s) <= 60:
            return True
    return False
