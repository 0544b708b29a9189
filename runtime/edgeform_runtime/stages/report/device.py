"""What a report says of the machine: a few numbers, and sentences where a person should look."""

import json
import os
from typing import Any, Dict, Optional

from edgeform_wire.vitals import vitals, worries

MAX_WORRIES = 8


def device_health(prefix: str, root: str = "/") -> Dict[str, Any]:
    """The machine's health in under a kilobyte."""
    found = vitals(root, unclean_boots(prefix))
    return {
        "uptime_s": round(found.uptime_s, 1),
        "temperature_celsius": found.hottest_celsius,
        "is_slowed": found.is_slowed,
        "memory_available_bytes": found.memory.available_bytes,
        "storage_wear_share": max(
            (d.wear_share for d in found.disks if d.wear_share is not None), default=None
        ),
        "has_route": found.has_route,
        "is_clock_synchronised": found.is_synchronised,
        "unclean_boots": found.unclean_boots,
        "worries": list(worries(found))[:MAX_WORRIES],
    }


def unclean_boots(prefix: str) -> Optional[int]:
    """As the device tool counts them (docs/reference/device-layout.md); None where it does not."""
    try:
        with open(os.path.join(prefix, "state", "boots"), encoding="utf-8") as stream:
            value = json.load(stream).get("unclean")
    except (OSError, ValueError, AttributeError):
        return None
    return value if type(value) is int else None
