"""The way out of quarantine: a person says that what a digest failed of is gone.

The tool itself never releases anything. What is released is tried like anything new: by a transaction, with
all its checks.
"""

from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.layout import Layout
from edgeform_device.locks import no_transaction
from edgeform_device.records import Quarantined, State


def release(disk: Disk, layout: Layout, digest: str) -> Quarantined:
    """Take a digest out of quarantine, while no transaction works; why it was held.

    Raises:
        Refused: it is not held. Locked: a transaction is at work.
    """
    disk.mkdir(layout.state_dir)
    with no_transaction(layout, hint="Try again when it has ended."):
        return take_out(State(disk, layout), digest)


def take_out(state: State, digest: str) -> Quarantined:
    """The same for a caller that holds the transaction lock.

    Raises:
        Refused: it is not held.
    """
    held = state.quarantine()
    found = held.pop(digest, None)
    if found is None:
        raise Refused(
            f"{digest} is not held on this device.",
            detail="Held are: " + (", ".join(sorted(held)) or "none") + ".",
        )
    state.write_quarantine(held)
    return found
