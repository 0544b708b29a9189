"""What the journal remembers of devices: the generation each of them was seen to confirm last."""

from dataclasses import dataclass

from edgeform.cli.workspace import Workspace
from edgeform_wire import receipt
from edgeform_wire.errors import WireError


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """One device's newest archived commit.

    Args:
        last_seq: number of the newest receipt in the archive, whatever it says; the device may have newer.
    """

    digest: str
    last_seq: int


def remembered(workspace: Workspace, site: str) -> dict[str, Remembered]:
    """Every device of which a commit is archived; nothing is made where there is no journal yet."""
    if not (workspace.state_dir / "journal.db").exists():
        return {}
    last: dict[str, int] = {}
    found: dict[str, Remembered] = {}
    unreadable: set[str] = set()
    with workspace.journal_to_read() as journal:
        for device, seq, line in journal.newest_first(site):
            newest = last.setdefault(device, seq)
            if device in found or device in unreadable:
                continue
            try:
                decoded = receipt.decode_line(line).receipt
            except WireError:
                unreadable.add(device)  # what came before it may not be the last commit
                continue
            if decoded.result == "committed":
                found[device] = Remembered(digest=decoded.digest, last_seq=newest)
    return found
