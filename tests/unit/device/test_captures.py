"""The verb `capture` on a device: what is there, in pieces, and never through a link that somebody planted."""

import base64
import io
from types import SimpleNamespace

import pytest
from support.captures import read, written

from edgeform_device import captures
from edgeform_device.durable import Disk
from edgeform_device.errors import DeviceError, Refused, Usage
from edgeform_device.layout import layout_for
from edgeform_device.session import Session
from edgeform_device.watched import machine
from edgeform_wire.errors import WireError

NAME = "20261128T101500Z-812-0001-request.efcap"


@pytest.fixture
def device(tmp_path, monkeypatch):
    layout = layout_for(str(tmp_path / "prefix"))
    folder = tmp_path / "prefix/results/gate/captures"
    folder.mkdir(parents=True)
    said = []
    session = Session(
        layout=layout, disk=Disk(), root=str(tmp_path), stdin=io.BytesIO(), say=said.append
    )
    monkeypatch.setattr(Session, "identity", lambda self: None)
    return session, folder, said


def where(name=NAME, offset=0):
    return ["read", "--pipeline", "gate", "--file", name, "--offset", str(offset)]


def test_a_capture_comes_in_pieces_that_are_the_file(device, monkeypatch):
    session, folder, said = device
    content = written()
    (folder / NAME).write_bytes(content)
    monkeypatch.setattr(captures, "PIECE_BYTES", 100)
    got = b""
    while len(got) < len(content):
        answer = captures.capture(session, where(offset=len(got)))
        assert answer["size_bytes"] == len(content)
        got += base64.b64decode(answer["content"])
    assert got == content
    assert read(got)
    assert len(said) == 1  # that somebody took it stands in the log once


def test_under_results_only_a_capture_stays_where_it_is(device, monkeypatch):
    session, folder, _ = device
    (folder / NAME).write_bytes(written())
    use = SimpleNamespace(name="gate", stages={"egress": "results_only"})
    monkeypatch.setattr(captures.generations, "current", lambda disk, layout: 3)
    monkeypatch.setattr(
        captures.generations, "read", lambda disk, layout, n: SimpleNamespace(pipelines=(use,))
    )
    with pytest.raises(Refused, match="results only"):
        captures.capture(session, where())
    use.stages["egress"] = "open"
    assert captures.capture(session, where())["size_bytes"]


def test_only_captures_are_listed(device):
    session, folder, _ = device
    (folder / NAME).write_bytes(written())
    (folder / f"{NAME}.part").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"")
    (folder / NAME.replace("0001", "0002")).symlink_to("/etc/passwd")
    (folder / NAME.replace("0001", "0003")).mkdir()
    listed = captures.capture(session, ["list"])["captures"]
    assert [entry["file"] for entry in listed] == [NAME]


def test_links_lead_nowhere(device, tmp_path):
    session, folder, _ = device
    secret = tmp_path / "secret"
    secret.write_bytes(written())
    (folder / NAME).symlink_to(secret)
    with pytest.raises(Refused, match="no capture"):
        captures.capture(session, where())
    (folder / NAME).unlink()
    folder.rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / NAME).write_bytes(written())
    folder.symlink_to(outside)
    with pytest.raises(Refused, match="no captures"):
        captures.capture(session, where())
    assert captures.capture(session, ["list"])["captures"] == []


def test_what_does_not_begin_like_a_capture_is_not_read(device):
    session, folder, _ = device
    (folder / NAME).write_bytes(b"root:x:0:0")
    with pytest.raises(Refused, match="is no capture"):
        captures.capture(session, where())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["send"],
        where("../../../state/device.json"),
        where(".."),
        ["read", "--pipeline", "../..", "--file", NAME, "--offset", "0"],
        ["read", "--pipeline", "gate", "--file", NAME, "--offset", "-1"],
        ["drop", "--pipeline", "gate", "--file", "/etc/passwd"],
        ["make", "--pipeline", ""],
    ],
)
def test_names_that_lead_elsewhere_are_refused(device, arguments):
    with pytest.raises((Usage, WireError)):
        captures.capture(device[0], arguments)


def test_dropping_twice_is_once(device):
    session, folder, _ = device
    (folder / NAME).write_bytes(written())
    drop = ["drop", "--pipeline", "gate", "--file", NAME]
    assert captures.capture(session, drop) == {"dropped": True}
    assert captures.capture(session, drop) == {"dropped": False}


def test_a_pipeline_that_does_not_answer_makes_none_and_stops_no_rollback(device):
    session, _, _ = device
    with pytest.raises(DeviceError):
        captures.capture(session, ["make", "--pipeline", "gate"])
    captures.on_failure(session.layout, "gate", session.layout.socket("gate"), "rollback", "x")


def test_a_machine_tells_the_hottest_zone_and_a_broken_sensor_nothing(tmp_path):
    zones = {"thermal_zone0": "45000\n", "thermal_zone1": "61500\n", "thermal_zone2": "999999\n"}
    for name, text in {**zones, "cooling_device0": "1\n"}.items():
        folder = tmp_path / "sys/class/thermal" / name
        folder.mkdir(parents=True)
        (folder / "temp").write_text(text)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("0.52 0.40 0.31 1/123 456\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 64 kB\n")
    assert machine(str(tmp_path)) == {
        "temperature_c": 61.5,
        "load_1m": 0.52,
        "available_bytes": 65536,
    }
    empty = {"temperature_c": None, "load_1m": None, "available_bytes": None}
    assert machine(str(tmp_path / "nothing")) == empty
