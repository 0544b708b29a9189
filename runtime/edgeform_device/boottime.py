"""The clock that deadlines use: CLOCK_BOOTTIME, which no time setting moves and no suspend stops."""

import time

from edgeform_device import clock


class BootClock:
    """Time since this boot, which boot it is, and what the wall clock claims.

    Args:
        root: where /proc is; `/` but in tests.
    """

    def __init__(self, root: str = "/") -> None:
        with open(root.rstrip("/") + "/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            self._boot_id = stream.read().strip()

    def boottime_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        return self._boot_id

    def wall_time(self) -> str:
        return clock.as_text(int(time.time()))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
