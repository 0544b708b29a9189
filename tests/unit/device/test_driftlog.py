"""What a device keeps of its own checks: bounded, the same once, and a torn line costs that line only."""

import json

from edgeform_device import driftlog


def entry(**changed):
    known = {
        "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z", "times": 1, "clock": "ntp",
        "generation": 3, "digest": "sha256:0", "drift": [], "health": [], "needs_hands": "",
    }  # fmt: skip
    return dict(known, **changed)


def test_the_same_again_is_counted_and_keeps_its_first_time(device):
    driftlog.keep(device.disk, device.layout, entry())
    driftlog.keep(device.disk, device.layout, entry(first="b", last="b"))
    driftlog.keep(device.disk, device.layout, entry(first="c", last="c"))
    (kept,) = driftlog.read(device.disk, device.layout)
    assert (kept["first"], kept["last"], kept["times"]) == ("2026-01-01T00:00:00Z", "c", 3)


def test_another_finding_is_another_entry_and_the_oldest_goes(device):
    for number in range(driftlog.KEPT + 5):
        drift = [{"kind": "file", "path": str(number)}]
        assert driftlog.keep(device.disk, device.layout, entry(drift=drift)) <= driftlog.KEPT
    kept = driftlog.read(device.disk, device.layout)
    assert len(kept) == driftlog.KEPT
    assert kept[-1]["drift"][0]["path"] == str(driftlog.KEPT + 4)


def test_findings_never_fill_the_disk(device):
    for number in range(12):
        big = [{"kind": "file", "path": f"{number}" + "x" * 60_000}]
        driftlog.keep(device.disk, device.layout, entry(drift=big))
    with open(driftlog.path(device.layout), "rb") as stream:
        assert len(stream.read()) <= driftlog.MAX_BYTES


def test_a_torn_line_costs_that_line(device):
    driftlog.keep(device.disk, device.layout, entry())
    with open(driftlog.path(device.layout), "ab") as stream:
        stream.write(b'{"first": "torn\n[]\n' + json.dumps(entry(generation=4)).encode() + b"\n")
    kept = driftlog.read(device.disk, device.layout)
    assert [k["generation"] for k in kept] == [3, 4]
