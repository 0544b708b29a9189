"""The three words and held: the world moved, we did, nobody knows."""

from dataclasses import replace

import pytest
from support.plan import a_virgin, an_absentee, digest

from edgeform.cli.cmd_drift import codes_of
from edgeform.diagnostics import Diagnostic
from edgeform.domain.observed import DriftFound, PendingTransaction, PipelineHealth
from edgeform.drift.compare import Word, compare
from edgeform.drift.schedule import FOUND as FOUND_CODES
from edgeform.errors import CHANGES_PRESENT, Incomplete, SpecInvalid
from edgeform.plan import Base, Blocked, Busy, Changed, Held, Unchanged
from edgeform.plan.changes import KeepGenerations, Reason, RestoreDrift

BASE = Base(generation=3, digest=digest("gen"), deployment=2, facts_digest=digest("f"), boot_id="b")
WHO = {"device": "cam-01", "hardware_class": "pi-5"}
OURS = KeepGenerations(before=3, after=4, reason=Reason.SPEC_CHANGED)
THEIRS = RestoreDrift(kind="file", path="x", expected="a", actual="b", reason=Reason.DRIFT)
FOUND = DriftFound(kind="file", path="trees/x", expected="a", actual="b")


def seen(**changed):
    return replace(a_virgin(), committed=3, current=3, generation_digest=digest("gen"), **changed)


def planned(*changes):
    return Changed(**WHO, base=BASE, target=digest("next"), changes=changes)


def words(*arguments):
    return compare(*arguments).words


def test_a_device_that_could_not_be_looked_at_is_unknown_even_if_nothing_is_planned():
    assert words(an_absentee(), Unchanged(**WHO, base=BASE)) == (Word.UNKNOWN,)
    assert words(an_absentee(), None) == (Word.UNKNOWN,)


def test_a_device_as_it_confirmed_is_clean():
    assert words(seen(), Unchanged(**WHO, base=BASE), digest("gen")) == (Word.CLEAN,)


def test_what_we_changed_is_pending_and_no_drift():
    assert words(seen(), planned(OURS)) == (Word.PENDING,)


def test_what_was_found_is_never_the_exit_code_of_a_run_that_did_not_look():
    held = Held(**WHO, base=BASE, digest=digest("bad"), detail="failed before")
    assert codes_of(compare(seen(), held)) == [CHANGES_PRESENT]
    every = [held, planned(OURS), planned(THEIRS), Unchanged(**WHO, base=BASE), None]
    found = {
        code for p in every for code in codes_of(compare(seen(drift=(FOUND,), needs_hands="x"), p))
    }
    assert SpecInvalid.exit_code not in found
    assert found - {0} <= set(FOUND_CODES)
    assert codes_of(compare(seen(), planned(OURS))) == [0]
    assert codes_of(compare(seen(drift=(FOUND,)), planned(THEIRS))) == [CHANGES_PRESENT]
    assert codes_of(compare(an_absentee(), None)) == [Incomplete.exit_code]


def test_what_moved_is_drift_and_both_are_both():
    assert words(seen(drift=(FOUND,)), planned(THEIRS)) == (Word.DRIFT,)
    assert words(seen(drift=(FOUND,)), planned(OURS, THEIRS)) == (Word.DRIFT, Word.PENDING)


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_pipeline_that_does_not_run_is_drift_told_once(state):
    health = (PipelineHealth(name="gate", state=state),)
    assert words(seen(health=health), None) == (Word.DRIFT,)
    unit = DriftFound(
        kind="service", path="edgeform-pipeline@gate.service", expected="active", actual=state
    )
    assert compare(seen(health=health, drift=(unit,)), None).found == (unit,)


def test_a_pipeline_that_starts_is_not_yet_drift():
    health = (PipelineHealth(name="gate", state="starting"),)
    assert words(seen(health=health), None) == (Word.CLEAN,)


def test_what_failed_before_is_held():
    held = Held(**WHO, base=BASE, digest=digest("bad"), detail="failed before")
    assert words(seen(), held) == (Word.HELD,)


def test_a_transaction_under_way_is_pending():
    transaction = PendingTransaction(id="t", phase="soak", to_generation=4, who="ada", until="soon")
    found = compare(seen(), Busy(**WHO, base=BASE, transaction=transaction))
    assert found.words == (Word.PENDING,)
    assert "ada" in found.notes[0]


def test_services_that_a_transaction_restarts_are_no_drift():
    transaction = PendingTransaction(
        id="t", phase="undecided", to_generation=4, who="ada", until=""
    )
    health = (PipelineHealth(name="gate", state="failed"),)
    busy = Busy(**WHO, base=BASE, transaction=transaction)
    assert words(seen(health=health, transaction=transaction), busy) == (Word.PENDING,)
    assert words(seen(health=health, transaction=transaction, drift=(FOUND,)), busy) == (
        Word.DRIFT,
        Word.PENDING,
    ), "what moved is drift all the same"


def test_a_blocked_device_is_not_called_clean():
    problem = Diagnostic(code="EF2113", summary="not enough room", detail="full")
    found = compare(seen(), Blocked(**WHO, base=BASE, problems=(problem,)))
    assert found.words == (Word.PENDING,)
    assert found.notes == ("blocked: full",)


def test_another_generation_than_the_receipts_say_is_drift():
    found = compare(seen(), None, digest("remembered"))
    assert found.words == (Word.DRIFT,)
    assert [d.kind for d in found.found] == ["generation"]


def test_a_device_that_needs_hands_says_so():
    found = compare(seen(needs_hands="neither runs"), None)
    assert (found.words, found.needs_hands) == ((Word.DRIFT,), True)
    assert found.notes == ("neither runs",)
