"""What this device did, one line each: appended, chained to the line before, signed where it can be.

A line that a power cut tore has no line feed and was never acknowledged; it is removed when the next one
is written. A damaged line stays where it is, and the chain goes on from the last whole one, so that
damage is seen and recovery is not stopped by it.
"""

import os
from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Protocol, Tuple

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout
from edgeform_wire import receipt as wire
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import Receipt, SignedReceipt

Check = Callable[[bytes, bytes], bool]
"""(signature, message) -> whether the device's key made it."""

UNSIGNED = "unsigned"
TAIL_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class Signer(Protocol):
    """Whoever signs for this device; `kind` goes into the receipt, `unsigned` where nobody can."""

    @property
    def kind(self) -> str: ...

    def sign(self, message: bytes) -> Optional[bytes]: ...


@dataclass(frozen=True)
class Fault:
    """A line of the chain that does not hold, counted from 1, and why."""

    line: int
    reason: str


def last(disk: Disk, layout: Layout) -> Optional[Receipt]:
    """The newest whole receipt; None where there is none."""
    for line in reversed(_tail(layout)):
        try:
            return wire.decode_line(line).receipt
        except WireError:
            continue
    content = disk.read(layout.receipts) or b""
    for line in reversed(content.split(b"\n")[:-1]):
        try:
            return wire.decode_line(line).receipt
        except WireError:
            continue
    return None


def append(disk: Disk, layout: Layout, signer: Signer, receipt: Receipt) -> SignedReceipt:
    """The receipt with its place in the chain and its signature, durably the newest line.

    A receipt of a transaction whose receipt is already the newest line is not written twice.
    """
    before = last(disk, layout)
    if before is not None and before.transaction == receipt.transaction:
        found = [r for r in map(_decoded, since(layout, before.seq - 1)) if r is not None]
        if found:
            return found[-1]
    chained = replace(
        receipt,
        seq=1 if before is None else before.seq + 1,
        prev=wire.GENESIS if before is None else before.chain_digest,
        signing=signer.kind,
    )
    signature = signer.sign(chained.encoded())
    if signature is None and signer.kind != UNSIGNED:
        # The means to sign is there and failed; say what is true rather than leave a line out.
        chained = replace(chained, signing=UNSIGNED)
    signed = SignedReceipt(receipt=chained, signature=signature)
    disk.append_line(layout.receipts, signed.encoded_line())
    return signed


def since(layout: Layout, seq: int) -> List[bytes]:
    """The lines after that sequence number, as they stand, without their line feeds; bounded in size."""
    try:
        with open(layout.receipts, "rb") as stream:
            found, size = [], 0
            for line in stream:
                decoded = _decoded(line) if line.endswith(b"\n") else None
                if decoded is None or decoded.receipt.seq <= seq:
                    continue
                size += len(line)
                if size > MAX_ANSWER_BYTES:
                    break
                found.append(line.rstrip(b"\n"))
            return found
    except FileNotFoundError:
        return []


def faults(lines: List[bytes], public_key: Optional[str]) -> Tuple[Fault, ...]:
    """Where a chain of lines, from its first on, does not hold: torn, altered, left out, badly signed.

    Args:
        public_key: the device's, as PEM; without it signatures are not judged.
    """
    check = None if public_key is None else checker(public_key)
    found: List[Fault] = []
    seq, prev = 0, wire.GENESIS
    for number, line in enumerate(lines, 1):
        try:
            signed = wire.decode_line(line)
        except WireError as exc:
            found.append(Fault(number, str(exc)))
            continue
        receipt = signed.receipt
        if receipt.seq != seq + 1:
            found.append(Fault(number, f"number {receipt.seq} follows {seq}"))
        elif receipt.prev != prev:
            found.append(Fault(number, "it does not follow the line before it"))
        reason = signature_fault(receipt.signing, signed.signature, receipt.encoded(), check)
        if reason:
            found.append(Fault(number, reason))
        seq, prev = receipt.seq, receipt.chain_digest
    return tuple(found)


def signature_fault(
    signing: str, signature: Optional[bytes], message: bytes, check: Optional[Check]
) -> str:
    """What is wrong between a signature, what the document says of it, and the key; empty if nothing."""
    if signing == UNSIGNED:
        return "" if signature is None else "it says unsigned and has a signature"
    if signature is None:
        return f"it says signed by {signing} and has no signature"
    if check is not None and not check(signature, message):
        return "its signature is not the device's"
    return ""


def checker(public_key: str) -> Check:
    """What tells the signatures of a device's key, as PEM, from others."""
    from edgeform_device import p256  # noqa: PLC0415 - costs more than all the rest of this module

    key = p256.load_public_key(public_key)
    return lambda signature, message: p256.verify(key, signature, message)


def _decoded(line: bytes) -> Optional[SignedReceipt]:
    try:
        return wire.decode_line(line)
    except WireError:
        return None


def _tail(layout: Layout) -> List[bytes]:
    """The whole lines near the end of the log."""
    try:
        with open(layout.receipts, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return []
    return lines[:-1] if size <= TAIL_BYTES else lines[1:-1]
