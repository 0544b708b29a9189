"""How often this device started, and how often nobody had shut it down before: power cuts, resets, panics.

The recovery unit leaves a mark when systemd stops it in an orderly shutdown; a boot that finds none had no
such shutdown before it. Without systemd nobody leaves marks, and nothing is counted.
"""

from dataclasses import dataclass
from typing import Optional

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout
from edgeform_wire import canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields


@dataclass(frozen=True)
class Boots:
    """Args:
    boot_id: the boot that was counted last.
    unclean: of `boots`, those that no orderly shutdown came before.
    """

    boot_id: str
    boots: int
    unclean: int


def read(disk: Disk, layout: Layout) -> Optional[Boots]:
    """What was counted; None where nothing is."""
    try:
        fields = Fields(canonical.decode(disk.read(layout.boots) or b"", "boots"), "boots")
        return Boots(fields.text("boot_id"), fields.integer("boots"), fields.integer("unclean"))
    except WireError:
        return None


def count(disk: Disk, layout: Layout, boot_id: str) -> None:
    """Count this boot, once. A disk that does not take it costs the count and nothing else."""
    before = read(disk, layout)
    if before is not None and before.boot_id == boot_id:
        return
    is_clean = before is None or disk.exists(layout.shut_down)
    now = Boots(
        boot_id=boot_id,
        boots=1 + (0 if before is None else before.boots),
        unclean=(0 if before is None else before.unclean) + (0 if is_clean else 1),
    )
    try:
        disk.write_file(layout.boots, canonical.encode(dict(vars(now))))
        disk.remove(layout.shut_down)
    except OSError:
        return
