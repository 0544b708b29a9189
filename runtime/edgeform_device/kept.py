"""The generations this device keeps: what each holds, where it came from, and how it stands now."""

from typing import Any, Dict, List, Optional

from edgeform_device import generations, receipts
from edgeform_device.durable import Disk
from edgeform_device.errors import DeviceError
from edgeform_device.layout import Layout
from edgeform_device.records import State
from edgeform_wire import canonical
from edgeform_wire import receipt as wire
from edgeform_wire.errors import WireError


def kept(disk: Disk, layout: Layout) -> List[Dict[str, Any]]:
    """Every generation on the disk, ascending.

    `state` is `current` (committed and running), `committed` (running is another one), `failed`, `kept`, or
    `damaged` where the manifest cannot be read; `manifest` is null then. `returnable` are those that proved
    themselves here before the present one.
    """
    state = State(disk, layout)
    committed = state.committed()
    held = state.quarantine()
    times = _times(layout)
    found = []
    for number in generations.numbers(disk, layout):
        content = None
        try:
            content = generations.read(disk, layout, number)
            digest: Optional[str] = content.digest
        except DeviceError:
            digest = None
        is_committed = committed is not None and committed.generation == number
        found.append(
            {
                "number": number,
                "digest": digest,
                "state": "damaged"
                if digest is None
                else ("current" if generations.is_current(disk, layout, number) else "committed")
                if is_committed
                else "failed"
                if digest in held
                else "kept",
                "returnable": committed is not None and number in committed.history,
                "origin": _origin(disk, layout, number),
                "wall_time": times.get(number, ""),
                "manifest": None if content is None else content.to_json(),
            }
        )
    return found


def _origin(disk: Disk, layout: Layout, number: int) -> Dict[str, Any]:
    """Deployment, digests and road, as they were written down; empty where that cannot be read."""
    try:
        value = canonical.decode(disk.read(layout.origin(number)) or b"", "origin")
    except WireError:
        return {}
    return value if isinstance(value, dict) else {}


def _times(layout: Layout) -> Dict[int, str]:
    """When each generation was committed last, by the receipts."""
    found = {}
    for line in receipts.since(layout, 0):
        try:
            entry = wire.decode_line(line).receipt
        except WireError:
            continue
        if entry.result == "committed":
            found[entry.to_generation] = entry.wall_time
    return found
