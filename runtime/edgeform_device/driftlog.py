"""What this device found when it checked itself: kept here until somebody visits, newest last, bounded.

Only findings and when; nothing is repaired. Each is chained to the one before it and signed with the device
key, as receipts are, so that nobody on the way home adds, alters or leaves out one. A check without a trusted
clock is kept all the same, with the clock's own word beside its time.
"""

from dataclasses import replace
from typing import List, Optional, Tuple

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout
from edgeform_device.receipts import UNSIGNED, Fault, Signer, checker, signature_fault
from edgeform_wire import finding as wire
from edgeform_wire.errors import WireError
from edgeform_wire.finding import Finding, SignedFinding
from edgeform_wire.receipt import GENESIS

KEPT = 50
MAX_BYTES = 256 * 1024


def path(layout: Layout) -> str:
    return layout.under("state", "drift.jsonl")


def keep(disk: Disk, layout: Layout, signer: Signer, found: Finding) -> int:
    """Add one check, in its place in the chain; how many are kept now."""
    kept = read(disk, layout)
    before = kept[-1].finding if kept else None
    if before is not None and found.says_the_same_as(before):
        # The same as last time: how often and until when is all that is new.
        kept = kept[:-1]
        found = replace(
            found, seq=before.seq, prev=before.prev, first=before.first, times=before.times + 1
        )
    elif before is not None:
        found = replace(found, seq=before.seq + 1, prev=before.chain_digest)
    kept = [*kept, _signed(signer, found)][-KEPT:]
    lines = [one.encoded_line() for one in kept]
    while len(lines) > 1 and sum(len(line) for line in lines) > MAX_BYTES:
        lines.pop(0)
    disk.write_file(path(layout), b"".join(lines))
    return len(lines)


def read(disk: Disk, layout: Layout) -> List[SignedFinding]:
    """The checks that are kept; a line that cannot be read is left out, and the chain shows it."""
    found = []
    for line in (disk.read(path(layout)) or b"").splitlines():
        try:
            found.append(wire.decode_line(line))
        except WireError:
            continue
    return found


def faults(kept: List[SignedFinding], public_key: Optional[str]) -> Tuple[Fault, ...]:
    """Where what was kept does not hold, counted from 1: left out, altered, badly signed.

    Args:
        public_key: the device's, as PEM; without it signatures are not judged.
    """
    check = None if public_key is None else checker(public_key)
    found: List[Fault] = []
    before: Optional[Finding] = None
    for number, signed in enumerate(kept, 1):
        this = signed.finding
        if before is None:
            # The oldest ones go, so that only the very first can be held to its place.
            if this.seq == 1 and this.prev != GENESIS:
                found.append(Fault(number, "it says that it is the first and follows another"))
        elif this.seq != before.seq + 1:
            found.append(Fault(number, f"number {this.seq} follows {before.seq}"))
        elif this.prev != before.chain_digest:
            found.append(Fault(number, "it does not follow the finding before it"))
        reason = signature_fault(this.signing, signed.signature, this.encoded(), check)
        if reason:
            found.append(Fault(number, reason))
        before = this
    return tuple(found)


def _signed(signer: Signer, found: Finding) -> SignedFinding:
    named = replace(found, signing=signer.kind)
    signature = signer.sign(named.encoded())
    if signature is None and signer.kind != UNSIGNED:
        named = replace(named, signing=UNSIGNED)
    return SignedFinding(finding=named, signature=signature)
