"""Verbs on a device that is this machine under another prefix: the real tool, the real questions."""

import json

import pytest
from support.written import write_receipt

from edgeform.cli.remembering import remembered
from edgeform.cli.workspace import Workspace
from edgeform.rollout.journal import Journal
from edgeform_device.durable import Disk
from edgeform_device.layout import layout_for
from edgeform_device.records import Quarantined, State
from edgeform_wire import digest as digests


def test_a_machine_without_the_tool_is_new_and_nothing_is_installed_by_looking(here):
    said = here.run("status", "here-1", "--json")
    (found,) = said.objects
    assert (said.code, found["state"], found["answered"]) == (0, "new", True)
    assert not here.prefix().exists()


def test_a_device_that_is_not_reached_is_told_and_is_exit_9(here):
    said = here.run("status", "--json")
    assert said.code == 9
    states = {o["device"]: o["answered"] for o in said.objects}
    assert states == {"here-1": True, "away": False}


def test_what_nobody_could_look_at_is_unknown_and_never_clean(here):
    said = here.run("drift", "--json")
    assert said.code == 9
    words = {o["device"]: o["words"] for o in said.objects}
    assert words == {"here-1": ["clean"], "away": ["unknown"]}
    assert "no lock" in said.err


@pytest.mark.parametrize("verb", ["generations", "diff", "check", "receipts", "logs"])
def test_verbs_for_enrolled_devices_say_how_to_enrol(here, verb):
    said = here.run(verb, "here-1")
    assert said.code == 3, said
    assert "not_enrolled" in said.err
    assert "edgeform enroll -l here-1" in said.err


@pytest.fixture
def enrolled(here):
    said = here.run("enroll", "here-1", "--json")
    assert said.code == 0, said.err
    return here


def test_enrolment_pins_the_devices_key_and_prints_the_same_code_again(here):
    (first,) = here.run("enroll", "here-1", "--json").objects
    (again,) = here.run("enroll", "here-1", "--json").objects
    assert (first["key"], again["key"]) == ("new", "known")
    assert first["code"] == again["code"]
    pinned = (here.site / "records/here-1.key.pem").read_text()
    assert pinned == (here.prefix() / "state/device.pub").read_text()
    assert here.run("status", "here-1", "--json").objects[0]["state"] == "empty"


def test_another_device_key_is_refused_until_somebody_says_so(enrolled):
    pinned = enrolled.site / "records/here-1.key.pem"
    for name in ("device.key", "device.pub"):
        (enrolled.prefix() / "state" / name).unlink()
    before = pinned.read_text()
    said = enrolled.run("enroll", "here-1")
    assert said.code == 8
    assert "--replace-key" in said.err
    assert pinned.read_text() == before
    assert enrolled.run("enroll", "here-1", "--replace-key").code == 0
    assert pinned.read_text() != before


def test_a_device_of_another_root_is_never_taken_over(enrolled):
    (enrolled.site / ".edgeform/trust").rename(enrolled.folder / "old-trust")
    said = enrolled.run("enroll", "here-1")
    assert said.code == 8, said
    assert here_root(enrolled) != digests.of_bytes(
        (enrolled.site / ".edgeform/trust/repository/metadata/1.root.json").read_bytes()
    )


def here_root(here) -> str:
    (found,) = here.run("status", "here-1", "--json").objects
    return found["root_digest"]


def test_a_fresh_device_has_no_generation_to_list_or_return_to(enrolled):
    assert enrolled.run("generations", "here-1").out.startswith("GEN")
    assert enrolled.run("generations", "here-1", "--json").out == ""
    said = enrolled.run("rollback", "here-1", "--yes")
    assert said.code == 64
    assert "never committed" in said.err


def test_rollback_must_name_its_devices(enrolled):
    assert enrolled.run("rollback", "--yes").code == 64


def test_checks_without_a_generation_are_refused_with_a_reason(enrolled):
    said = enrolled.run("check", "here-1")
    assert said.code == 3
    assert "nothing to check" in said.err


def test_the_doctor_asks_the_tool_itself(enrolled):
    said = enrolled.run("doctor", "here-1", "--json")
    states = {o["name"]: o["state"] for o in said.objects}
    assert said.code == 0, said
    assert states["here-1 tool"] == "ok"
    assert states["here-1 python"] == "ok"


def test_the_doctor_says_how_a_new_machine_becomes_a_device(here):
    said = here.run("doctor", "-l", "here-1")
    assert said.code == 3
    assert "edgeform enroll -l here-1" in said.out


def hold(here, *held: str) -> None:
    layout = layout_for(str(here.prefix()))
    failed = Quarantined("cannot serve at 0.0.0.0:80", "2026-11-22T00:00:00Z", "t1-x", 2)
    State(Disk(), layout).write_quarantine(dict.fromkeys(held, failed))


def test_what_is_held_is_listed_and_released_by_its_first_digits(enrolled):
    one, other = digests.of_bytes(b"one"), digests.of_bytes(b"other")
    hold(enrolled, one, other)
    listed = enrolled.run("release", "here-1", "--json")
    assert listed.code == 0, listed.err
    assert {o["digest"] for o in listed.objects} == {one, other}
    assert "cannot serve at" in enrolled.run("release", "here-1").out
    said = enrolled.run("release", "here-1", digests.short(one))
    assert (said.code, "the next apply tries it again" in said.err) == (0, True), said.err
    assert [o["digest"] for o in enrolled.run("release", "here-1", "--json").objects] == [other]
    with Journal(enrolled.site / ".edgeform/journal.db") as journal:
        (turn,) = journal.turns(journal.last_run("release"))
    assert (turn.state, one in turn.detail) == ("released", True)


def test_nothing_is_released_by_a_guess(enrolled):
    hold(enrolled, digests.of_bytes(b"one"))
    for wrong in ("here-1", "zzz", "abc", "0" * 12):
        said = enrolled.run("release", "here-1", wrong)
        assert said.code == 64, said
        assert "edgeform release" in said.err or "It holds" in said.err, said
    assert enrolled.run("release").code == 64
    assert len(enrolled.run("release", "here-1", "--json").objects) == 1


def test_collecting_on_a_device_asks_first(enrolled):
    said = enrolled.run("gc", "-l", "here-1")
    assert said.code == 10
    assert enrolled.run("gc", "-l", "here-1", "--dry-run").code == 0
    assert enrolled.run("gc", "-l", "here-1", "--yes").code == 0


def log_of(here):
    return here.prefix() / "receipts.jsonl"


def test_receipts_are_fetched_once_proven_and_exported(enrolled):
    write_receipt(enrolled, "t1")
    said = enrolled.run("receipts", "here-1", "--json")
    assert said.code == 0, said.err
    assert [o["seq"] for o in said.objects] == [1]
    assert "an unbroken chain" in said.err
    write_receipt(enrolled, "t2")
    said = enrolled.run("receipts", "here-1", "--export")
    assert said.code == 0
    exported = (enrolled.site / "records/here-1.jsonl").read_bytes()
    assert exported == log_of(enrolled).read_bytes()
    assert enrolled.run("receipts", "here-1", "--offline").out.count("committed") == 2


def test_an_altered_receipt_breaks_the_chain(enrolled):
    write_receipt(enrolled, "t1")
    write_receipt(enrolled, "t2")
    lines = log_of(enrolled).read_bytes().splitlines(keepends=True)
    changed = json.loads(lines[0])
    changed["receipt"]["deployment"] = 7
    lines[0] = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    log_of(enrolled).write_bytes(b"".join(lines))
    said = enrolled.run("receipts", "here-1")
    assert said.code == 8, "a signature that is not the device's outweighs the chain"
    assert "receipt line 1: its signature is not the device's" in said.err
    assert "receipt line 2: it does not follow" in said.err


def test_a_device_that_tells_another_history_is_found_out(enrolled):
    write_receipt(enrolled, "t1")
    write_receipt(enrolled, "t2")
    assert enrolled.run("receipts", "here-1").code == 0
    before = log_of(enrolled).read_bytes().splitlines(keepends=True)
    log_of(enrolled).write_bytes(before[0])
    said = enrolled.run("receipts", "here-1", "--json")
    assert said.code == 12
    assert "no longer has receipt 2" in said.err
    assert [o["seq"] for o in said.objects] == [1, 2], "what was archived stays"
    write_receipt(enrolled, "t3")
    said = enrolled.run("receipts", "here-1")
    assert said.code == 12
    assert "is not the one that it reported before" in said.err


def test_receipts_of_a_device_without_a_pinned_key_say_so(enrolled):
    (enrolled.site / "records/here-1.key.pem").unlink()
    write_receipt(enrolled, "t1")
    said = enrolled.run("receipts", "here-1")
    assert said.code == 0
    assert "signatures were not judged" in said.err


def test_a_confirmed_generation_that_the_device_no_longer_has_is_drift(enrolled):
    write_receipt(enrolled, "t1")
    assert enrolled.run("receipts", "here-1").code == 0
    said = enrolled.run("drift", "here-1", "--json")
    assert said.code == 2
    (found,) = said.objects
    assert found["words"] == ["drift"]
    assert found["found"][0]["kind"] == "generation"


def test_the_last_commit_in_the_archive_is_remembered(enrolled):
    workspace = Workspace(site_dir=enrolled.site)
    assert remembered(workspace, "lab") == {}
    other = digests.of_bytes(b"another manifest")
    write_receipt(enrolled, "t1")
    write_receipt(enrolled, "t2", digest=other, result="rolled_back")
    assert enrolled.run("receipts", "here-1").code == 0
    found = remembered(workspace, "lab")["here-1"]
    assert (found.digest, found.last_seq) == (digests.of_bytes(b"manifest"), 2)
    write_receipt(enrolled, "t3", digest=other)
    assert remembered(workspace, "lab")["here-1"] == found, "what was not fetched is not known"
    assert enrolled.run("receipts", "here-1").code == 0
    assert remembered(workspace, "lab")["here-1"].digest == other
