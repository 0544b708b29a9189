"""Returning to a kept generation: asked once, watched until it ends."""

import json
from dataclasses import dataclass, field

import pytest
from support.documents import a_receipt

from edgeform import events
from edgeform.apply.device import DeviceClient
from edgeform.apply.outcome import Committed, Dark, Helpless, Pending, Refused, TurnedBack
from edgeform.apply.returning import Return, turn_back
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.transport.base import DeviceUnreachable, Finished, Target

WISH = Return(device="cam-01", from_generation=4, to_generation=3, who="ada", wait_s=60.0)


@dataclass
class Script:
    """A transport that answers what it was told to, in order; the last answer stays."""

    answers: list
    asked: list = field(default_factory=list)

    def run(self, target, command):
        self.asked.append(command.argv[1])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        ok = "error" not in answer
        stdout = json.dumps({"ok": ok, **answer}).encode()
        return Finished(exit_code=0 if ok else 3, stdout=stdout, stderr=b"")


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def lost(reason=Unreachability.TIMEOUT):
    return DeviceUnreachable("cam-01", reason, "gone")


def status(phase="checks", outcome=None, **more):
    return {
        "phase": phase,
        "steps": [{"step": "lease"}],
        "outcome": outcome,
        "receipt": None,
    } | more


STARTED = {"transaction": "t9", "fence": 9}


def returned(*answers):
    script, clock = Script(list(answers)), Clock()
    client = DeviceClient(script, Target(name="cam-01", connect=Connect()), "/var/lib/edgeform")
    return (
        turn_back(WISH, client, events.ignore, monotonic=clock.monotonic, sleep=clock.sleep),
        script,
    )


def test_a_return_that_commits_is_committed_from_where_to_where():
    outcome, script = returned(STARTED, status(), status(outcome="committed"))
    assert isinstance(outcome, Committed)
    assert (outcome.from_generation, outcome.to_generation) == (4, 3)
    assert script.asked == ["rollback", "status", "status"]


def test_a_return_whose_checks_fail_stays_where_it_was():
    outcome, _ = returned(STARTED, status(outcome="rolled_back", reason="golden 3 of 14"))
    assert isinstance(outcome, TurnedBack)
    assert (outcome.to_generation, outcome.reason) == (4, "golden 3 of 14")


def test_a_lost_answer_to_the_request_is_dark_and_is_not_asked_again():
    outcome, script = returned(lost())
    assert isinstance(outcome, Dark)
    assert script.asked == ["rollback"]


@pytest.mark.parametrize("reason", [Unreachability.CONNECT, Unreachability.HOST_KEY])
def test_a_device_that_was_never_reached_is_pending(reason):
    assert isinstance(returned(lost(reason))[0], Pending)


def test_a_broken_connection_while_watching_is_reconnected():
    outcome, script = returned(STARTED, lost(), lost(), status(outcome="committed"))
    assert isinstance(outcome, Committed)
    assert script.asked.count("rollback") == 1


def test_silence_beyond_the_devices_deadline_is_dark():
    assert isinstance(returned(STARTED, lost())[0], Dark)


def test_a_refusal_is_told_with_its_reason():
    refused = {"error": {"code": "refused", "summary": "No earlier generation is kept."}}
    outcome, _ = returned(refused)
    assert isinstance(outcome, Refused)
    assert "No earlier" in outcome.detail


def test_neither_old_nor_new_needs_hands():
    outcome, _ = returned(STARTED, status(outcome="needs_hands", reason="both fail"))
    assert isinstance(outcome, Helpless)


def test_the_receipt_comes_along():
    told = a_receipt(result="committed").to_json()
    outcome, _ = returned(STARTED, status(outcome="committed", receipt=told))
    assert outcome.receipt.receipt == a_receipt(result="committed")
