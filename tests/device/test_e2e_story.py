"""The whole line on devices with a real sshd and a real systemd, when nothing goes wrong."""

import json

import pytest
from support.site import PIPELINE

pytestmark = pytest.mark.device


def test_the_first_apply_installs_everything_and_says_so(site, first_apply):
    done = first_apply[0]
    assert done.exit_code == 0, done.text
    for name in site.devices:
        assert f"{name}     committed  generation 0 -> 1" in done.out, done.out
        assert f"{name}: check {PIPELINE} golden: pass" in done.err
        assert site.assert_receipts_home(name)[0]["result"] == "committed"


def test_an_update_is_planned_applied_and_then_there_is_nothing_left_to_do(site):
    before = site.seen("one")
    untouched = site.seen("two")
    site.want("one", "better")
    planned = site.plan("--detailed-exitcode", "-l", "one")
    assert planned.exit_code == 2, planned.text
    assert "better" in planned.out
    assert site.seen("one") == before  # looking changed nothing
    done = site.apply("-l", "one")
    assert done.exit_code == 0, done.text
    after = site.assert_serving("one", generation=before.current + 1)
    receipts = site.assert_receipts_home("one")
    assert (receipts[-1]["result"], receipts[-1]["digest"]) == ("committed", after.digest)
    replanned = site.plan("--detailed-exitcode", "-l", "one")
    assert replanned.exit_code == 0, replanned.text
    again = site.apply("-l", "one")
    assert again.exit_code == 0, again.text
    assert "0 to change" in again.out
    assert "lease" not in again.err
    assert site.seen("one") == after
    assert site.seen("two") == untouched


def test_status_and_check_name_what_runs(site):
    said = site.edgeform("status", str(site.folder), "--json")
    assert said.exit_code == 0, said.text
    found = {d["device"]: d for d in map(json.loads, said.out.splitlines())}
    assert set(found) == set(site.devices)
    checked = site.edgeform("check", str(site.folder), "one", "--json")
    assert checked.exit_code == 0, checked.text
    checks = [json.loads(line) for line in checked.out.splitlines()]
    assert {(c["device"], c["verdict"]) for c in checks} == {("one", "pass")}
    assert "golden" in {c["name"] for c in checks}


def test_a_kept_generation_is_returned_to_by_the_same_proof(site):
    before = site.seen("one")
    site.want("one", "digits")
    applied = site.apply("-l", "one")
    assert applied.exit_code == 0, applied.text
    done = site.edgeform("rollback", str(site.folder), "-l", "one", "--yes")
    assert done.exit_code == 0, done.text
    assert site.assert_serving("one", generation=before.current).digest == before.digest
