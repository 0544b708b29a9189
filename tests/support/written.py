"""Receipts as a device writes them, for devices that are folders here."""

from dataclasses import replace

from edgeform_device import receipts as device_receipts
from edgeform_device import signing
from edgeform_device.durable import Disk
from edgeform_device.layout import layout_for
from edgeform_wire import digest as digests
from edgeform_wire import receipt as wire
from edgeform_wire.receipt import Receipt, SignedReceipt


def write_receipt(here, transaction: str, **changed) -> None:
    """As the device's transaction does it: chained, signed with its own key."""
    layout = layout_for(str(here.prefix()))
    disk = Disk()
    receipt = a_receipt(transaction, **changed)
    device_receipts.append(disk, layout, signing.find_signer(disk, layout), receipt)


def an_unsigned_chain(*receipts: Receipt) -> tuple[SignedReceipt, ...]:
    """The receipts, one following the other, as a device without openssl writes them."""
    found, prev = [], wire.GENESIS
    for seq, receipt in enumerate(receipts, 1):
        chained = replace(receipt, seq=seq, prev=prev)
        found.append(SignedReceipt(receipt=chained, signature=None))
        prev = chained.chain_digest
    return tuple(found)


def a_receipt(transaction: str, **changed) -> Receipt:
    fields = {
        "site": "lab", "device": "here-1", "seq": 1, "prev": wire.GENESIS,
        "transaction": transaction, "road": "ssh", "deployment": 1,
        "plan_digest": digests.of_bytes(b"plan"), "from_generation": 0, "to_generation": 1,
        "digest": digests.of_bytes(b"manifest"), "result": "committed", "reason": "",
        "checks": (), "seconds": {"checks": 1.5}, "derived": {}, "tool": "0.1.0", "boot_id": "b",
        "wall_time": "2026-11-22T00:00:00Z", "clock": "ntp", "signing": "unsigned",
    }  # fmt: skip
    return Receipt(**(fields | changed))
