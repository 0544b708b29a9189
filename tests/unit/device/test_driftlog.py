"""What a device keeps of its own checks: bounded, the same once, chained and signed; damage shows."""

from dataclasses import replace

import pytest

from edgeform_device import driftlog, signing
from edgeform_wire import finding as wire
from edgeform_wire.finding import Finding
from edgeform_wire.receipt import GENESIS


def a_finding(**changed):
    known = {
        "site": "lab", "device": "cam-1", "seq": 1, "prev": GENESIS,
        "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z", "times": 1, "clock": "ntp",
        "generation": 3, "digest": GENESIS, "drift": (), "health": (), "needs_hands": "",
        "signing": "unsigned",
    }  # fmt: skip
    return Finding(**(known | changed))


@pytest.fixture
def keep(device):
    signer = signing.find_signer(device.disk, device.layout)
    return lambda **changed: driftlog.keep(device.disk, device.layout, signer, a_finding(**changed))


def kept(device):
    return driftlog.read(device.disk, device.layout)


def public_key(device):
    return device.disk.read(device.layout.state(signing.PUBLIC_KEY)).decode()


def drifted(path):
    return ({"kind": "file", "path": path},)


def test_the_same_again_is_counted_and_keeps_its_first_time_and_place(device, keep):
    keep()
    keep(first="b", last="b")
    keep(first="c", last="c")
    (one,) = kept(device)
    found = one.finding
    assert (found.seq, found.first, found.last, found.times) == (1, "2026-01-01T00:00:00Z", "c", 3)
    assert driftlog.faults([one], public_key(device)) == ()


def test_another_finding_is_another_entry_and_the_oldest_goes(device, keep):
    for number in range(driftlog.KEPT + 5):
        assert keep(drift=drifted(str(number))) <= driftlog.KEPT
    found = kept(device)
    assert len(found) == driftlog.KEPT
    assert found[-1].finding.drift[0]["path"] == str(driftlog.KEPT + 4)
    assert found[-1].finding.seq == driftlog.KEPT + 5
    assert driftlog.faults(found, public_key(device)) == (), "what went first leaves no gap"


def test_findings_never_fill_the_disk(device, keep):
    for number in range(12):
        keep(drift=drifted(f"{number}" + "x" * 60_000))
    with open(driftlog.path(device.layout), "rb") as stream:
        assert len(stream.read()) <= driftlog.MAX_BYTES


def test_a_torn_line_costs_that_line_and_shows_as_a_gap(device, keep):
    for path in ("a", "b", "c"):
        keep(drift=drifted(path))
    with open(driftlog.path(device.layout), "rb") as stream:
        lines = stream.read().splitlines(keepends=True)
    with open(driftlog.path(device.layout), "wb") as stream:
        stream.write(lines[0] + lines[1][:40] + b"\n[]\n" + lines[2])
    found = kept(device)
    assert [one.finding.seq for one in found] == [1, 3]
    assert [f.reason for f in driftlog.faults(found, None)] == ["number 3 follows 1"]


def test_an_altered_finding_is_a_forgery_and_one_from_elsewhere_too(device, keep):
    for path in ("a", "b"):
        keep(drift=drifted(path))
    first, last = kept(device)
    clean = wire.SignedFinding(replace(last.finding, drift=()), last.signature)
    reasons = [f.reason for f in driftlog.faults([first, clean], public_key(device))]
    assert reasons == ["its signature is not the device's"]
    bare = wire.SignedFinding(last.finding, None)
    reasons = [f.reason for f in driftlog.faults([first, bare], public_key(device))]
    assert reasons == ["it says signed by openssl and has no signature"]
