"""What this device found when it checked itself: kept here until somebody visits, newest last, bounded.

Only findings and when; nothing is repaired. A check without a trusted clock is kept all the same, with the
clock's own word beside its time.
"""

import json
from typing import Any, Dict, List

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout

KEPT = 50
MAX_BYTES = 256 * 1024


def path(layout: Layout) -> str:
    return layout.under("state", "drift.jsonl")


def keep(disk: Disk, layout: Layout, entry: Dict[str, Any]) -> int:
    """Add one check; how many are kept now."""
    kept = read(disk, layout)
    if kept and _same(kept[-1], entry):
        # The same as last time: how often and until when is all that is new.
        entry = dict(entry, first=kept[-1]["first"], times=int(kept[-1]["times"]) + 1)
        kept = kept[:-1]
    kept = [*kept, entry][-KEPT:]
    lines = [json.dumps(one, sort_keys=True).encode() + b"\n" for one in kept]
    while len(lines) > 1 and sum(len(line) for line in lines) > MAX_BYTES:
        lines.pop(0)
    disk.write_file(path(layout), b"".join(lines))
    return len(lines)


def read(disk: Disk, layout: Layout) -> List[Dict[str, Any]]:
    """The checks that are kept; a line that cannot be read is left out."""
    found = []
    for line in (disk.read(path(layout)) or b"").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "times" in entry and "first" in entry:
            found.append(entry)
    return found


def _same(before: Dict[str, Any], now: Dict[str, Any]) -> bool:
    names = ("generation", "digest", "drift", "health", "needs_hands")
    return all(before.get(name) == now.get(name) for name in names)
