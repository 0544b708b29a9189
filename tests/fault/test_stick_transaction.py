"""The whole road by stick on a plain directory: real tool, real runtime, real model, nobody else."""

import pytest
from support.real_device import swapped_labels
from support.stick import StickDevice

from edgeform_wire.receipt import decode_line

pytestmark = pytest.mark.slow


@pytest.fixture
def real(tmp_path):
    device = StickDevice(tmp_path)
    yield device
    device.end()


def left_on(place):
    content = (place / "edgeform/return/device-cam-1.jsonl").read_bytes()
    return [decode_line(line).receipt for line in content.split(b"\n")[:-1]]


def test_a_stick_is_applied_twice_a_wrong_one_turned_back_and_receipts_come_home(real):
    first = real.press.stick("one", real.signed("1.0.0", confirm="controller"))
    done = real.insert(first)
    assert (done.exit_code, done.said["outcome"]) == (0, "committed"), done
    assert done.said["returned"] == "written", done
    assert real.serving()["generation"] == 1

    again = real.insert(first)
    assert (again.exit_code, again.said["outcome"]) == (0, "unchanged"), again

    bad = real.press.stick("two", real.signed("1.1.0", spoil=swapped_labels))
    refused = real.insert(bad)
    assert refused.exit_code == 5, refused
    assert "golden" in refused.said["error"]["detail"]
    assert real.serving()["generation"] == 1

    held = real.insert(bad)
    assert held.exit_code == 5, held
    assert "held" in held.said["error"]["summary"]

    older = real.insert(first)
    assert older.exit_code == 8, older
    assert "already has newer metadata" in older.said["error"]["summary"]
    assert real.serving()["generation"] == 1
    found = left_on(first)
    assert [(r.result, r.road) for r in found] == [
        ("committed", "usb"),
        ("rolled_back", "usb"),
        ("held", "usb"),
        ("refused", "usb"),
    ]
    assert {r.signing for r in found} == {"openssl"}
