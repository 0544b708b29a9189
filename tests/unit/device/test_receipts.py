import subprocess
from dataclasses import replace

import pytest
from support.device import NO_DIGEST

from edgeform_device import receipts, signing
from edgeform_device.signing import Signer
from edgeform_wire import receipt as wire
from edgeform_wire.receipt import Receipt

RECEIPT = Receipt(
    site="lab",
    device="cam-1",
    seq=1,
    prev=wire.GENESIS,
    transaction="t1",
    road="ssh",
    deployment=1,
    plan_digest=NO_DIGEST,
    from_generation=0,
    to_generation=1,
    digest=NO_DIGEST,
    result="committed",
    reason="",
    checks=(),
    seconds={"checks": 1.5},
    derived={},
    tool="0.1.0",
    boot_id="b",
    wall_time="2026-11-22T00:00:00Z",
    clock="ntp",
    signing="unsigned",
)


def signer_of(device):
    return signing.find_signer(device.disk, device.layout)


def append(device, transaction, **changed):
    receipt = replace(RECEIPT, transaction=transaction, **changed)
    return receipts.append(device.disk, device.layout, signer_of(device), receipt)


def public_key(device):
    return (device.prefix / "state/device.pub").read_text()


def faults(device):
    return receipts.faults(receipts.since(device.layout, 0), public_key(device))


def test_receipts_are_numbered_chained_and_signed_by_the_device(device):
    first, second = append(device, "t1"), append(device, "t2")
    assert (first.receipt.seq, second.receipt.seq) == (1, 2)
    assert second.receipt.prev == first.receipt.chain_digest
    assert first.receipt.signing == "openssl"
    assert faults(device) == ()


def test_openssl_agrees_about_the_signature(device, tmp_path):
    signed = append(device, "t1")
    (tmp_path / "sig").write_bytes(signed.signature)
    key = str(device.prefix / "state/device.pub")
    command = ("openssl", "dgst", "-sha256", "-verify", key, "-signature", str(tmp_path / "sig"))
    subprocess.run(command, input=signed.receipt.encoded(), check=True, capture_output=True)


def test_the_signature_can_also_be_made_by_cryptography(device):
    other = Signer(signing.CRYPTOGRAPHY, device.layout.state(signing.KEY))
    receipts.append(device.disk, device.layout, other, RECEIPT)
    assert receipts.last(device.disk, device.layout).signing == "cryptography"
    assert faults(device) == ()


def test_a_device_that_cannot_sign_says_so_and_still_chains(device):
    unsigned = Signer(signing.UNSIGNED, "")
    for transaction in ("t1", "t2"):
        receipt = replace(RECEIPT, transaction=transaction)
        receipts.append(device.disk, device.layout, unsigned, receipt)
    assert faults(device) == ()


def test_one_transaction_has_one_receipt(device):
    assert append(device, "t1") == append(device, "t1")
    assert len(receipts.since(device.layout, 0)) == 1


def test_lines_after_a_number_are_given_as_they_stand(device):
    for n in range(1, 6):
        append(device, f"t{n}")
    lines = receipts.since(device.layout, 3)
    assert [wire.decode_line(line).receipt.seq for line in lines] == [4, 5]
    assert b"\n".join(lines) in (device.prefix / "receipts.jsonl").read_bytes()


def test_a_line_that_a_power_cut_tore_is_removed_and_the_chain_goes_on(device):
    append(device, "t1")
    path = device.prefix / "receipts.jsonl"
    whole = path.read_bytes()
    for cut in (1, 10, len(whole) - 2):
        path.write_bytes(whole + whole[:cut])
        assert receipts.last(device.disk, device.layout).seq == 1
        assert len(receipts.since(device.layout, 0)) == 1
    assert append(device, "t2").receipt.seq == 2
    assert faults(device) == ()


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda lines: [lines[0].replace(b"committed", b"refused__")[:], *lines[1:]], "result"),
        (
            lambda lines: [lines[0].replace(b'"road":"ssh"', b'"road":"usb"'), *lines[1:]],
            "not the device's",
        ),
        (lambda lines: [lines[0], lines[2]], "follows"),
        (lambda lines: [lines[1], lines[0], lines[2]], "follows"),
        (lambda lines: [*lines, lines[2]], "follows"),
        (lambda lines: [lines[0], b"{", *lines[2:]], "JSON"),
    ],
)
def test_tampering_is_found(device, tamper, said):
    for n in range(1, 4):
        append(device, f"t{n}")
    changed = tamper(receipts.since(device.layout, 0))
    found = receipts.faults(changed, public_key(device))
    assert found
    assert any(said in fault.reason for fault in found)


def test_a_signature_that_was_taken_away_is_found(device):
    append(device, "t1")
    (line,) = receipts.since(device.layout, 0)
    signed = wire.decode_line(line)
    bare = replace(signed, signature=None).encoded_line().rstrip()
    assert "no signature" in receipts.faults([bare], public_key(device))[0].reason


def test_a_damaged_line_stays_to_be_seen_and_stops_nothing(device):
    append(device, "t1")
    path = device.prefix / "receipts.jsonl"
    path.write_bytes(path.read_bytes() + b"\0\0\0 damaged\n")
    assert append(device, "t2").receipt.seq == 2
    assert b"damaged" in path.read_bytes()


def test_another_devices_key_does_not_vouch(device, tmp_path, publisher):
    from support.device import an_enrolled_device

    other = an_enrolled_device(tmp_path / "other", publisher.root)
    append(device, "t1")
    found = receipts.faults(receipts.since(device.layout, 0), public_key(other))
    assert [f.reason for f in found] == ["its signature is not the device's"]
