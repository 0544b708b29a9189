"""One device's turn against a device that answers as a test tells it to."""

import json

import pytest

from edgeform.apply.device import MissingBlob, shown
from edgeform.apply.outcome import Committed, Dark, Helpless, Pending, Refused, TurnedBack
from edgeform.apply.shipment import PART_BYTES, Blob, Shipment, loads
from edgeform.apply.transaction import AWAIT_CONFIRM, Means, carry
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.transport.base import DeviceUnreachable, FilePart, Finished, Target
from edgeform_wire.receipt import GENESIS, Receipt

DIGEST = "sha256:" + "a" * 64


def receipt(result, to_generation=2, reason=""):
    return Receipt(
        site="s", device="d", seq=1, prev=GENESIS, transaction="t", road="ssh", deployment=1,
        plan_digest=DIGEST, from_generation=1, to_generation=to_generation, digest=DIGEST,
        result=result, reason=reason, checks=(), seconds={}, derived={}, tool="0", boot_id="b",
        wall_time="", clock="unknown", signing="unsigned",
    ).to_json()  # fmt: skip


class Device:
    """Answers verbs from a script: a list per verb, the last answer again and again."""

    def __init__(self, **script):
        self.asked = []
        self._script = {
            "missing": [{"missing": []}],
            "ingest": [{"received": []}],
            "activate": [{"transaction": "t1", "fence": 1}],
            "confirm": [{"decided": "commit"}],
            "status": [ended("committed")],
        } | {k: list(v) for k, v in script.items()}

    def run(self, target, command):
        verb = command.argv[1]
        self.asked.append((verb, command))
        answers = self._script[verb]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            return Finished(exit_code=0, stdout=answer, stderr=b"")
        ok = "code" not in answer
        body = {"ok": True, **answer} if ok else {"ok": False, "error": answer}
        return Finished(
            exit_code=0 if ok else answer.get("exit_code", 3),
            stdout=json.dumps(body).encode(),
            stderr=b"",
        )

    def verbs(self):
        return [verb for verb, _ in self.asked]


def gone(reason=Unreachability.CONNECT):
    return DeviceUnreachable("d", reason, "no route")


def running(phase, *steps):
    return {"phase": phase, "steps": [{"step": s} for s in steps], "outcome": None, "receipt": None}


def ended(result, **more):
    return {
        "phase": "receipt",
        "steps": [],
        "outcome": result,
        "reason": more.get("reason", ""),
        "receipt": receipt(result, reason=more.get("reason", "")),
    }


def tried(device, **changes):
    fields = {
        "site": "s", "device": "d", "prefix": "/p", "number": 1, "plan_digest": DIGEST,
        "metadata": (("timestamp.json", b"{}"),), "blobs": (), "tool": None, "secrets": (),
        "confirm": "controller", "wait_s": 50.0, "from_generation": 1,
    }  # fmt: skip
    now = [0.0]
    touched = []

    def sleep(seconds):
        now[0] += seconds

    def monotonic():
        now[0] += 0.01
        return now[0]

    means = Means(
        transport=device, listener=lambda event: None, resolve=lambda ref: None,
        monotonic=monotonic, sleep=sleep,
        touched=lambda name, transaction: touched.append(transaction),
        enrolled=lambda name, answer: None, who="me",
    )  # fmt: skip
    outcome = carry(Shipment(**fields | changes), Target(name="d", connect=Connect()), means)
    return outcome, touched


def test_a_commit_is_told_with_its_receipt():
    outcome, touched = tried(Device())
    assert isinstance(outcome, Committed)
    assert (outcome.from_generation, outcome.to_generation) == (1, 2)
    assert touched == [None, "t1"]


def test_the_journal_knows_before_the_device_is_asked_to_act():
    device = Device(activate=[gone()])
    outcome, touched = tried(device)
    assert isinstance(outcome, Dark)
    assert touched == [None]


def test_a_confirmation_goes_over_a_new_connection_and_only_once():
    device = Device(status=[running(AWAIT_CONFIRM), running(AWAIT_CONFIRM), ended("committed")])
    outcome, _ = tried(device)
    assert isinstance(outcome, Committed)
    confirms = [c for verb, c in device.asked if verb == "confirm"]
    assert [c.new_connection for c in confirms] == [True]


def test_a_lost_answer_to_activate_is_asked_again_with_the_same_nonce():
    device = Device(
        activate=[gone(Unreachability.TIMEOUT), gone(), {"transaction": "t1", "fence": 1}]
    )
    outcome, _ = tried(device)
    assert isinstance(outcome, Committed)
    nonces = {json.loads(c.stdin[0])["nonce"] for verb, c in device.asked if verb == "activate"}
    assert len(nonces) == 1


def test_a_device_that_stays_away_after_activation_is_dark_and_not_failed():
    outcome, _ = tried(Device(status=[gone()]))
    assert isinstance(outcome, Dark)
    assert "no route" in outcome.detail


def test_a_device_that_comes_back_in_time_is_followed_to_its_end():
    outcome, _ = tried(Device(status=[gone(), gone(), running("checks"), ended("committed")]))
    assert isinstance(outcome, Committed)


def test_a_device_that_is_never_reached_is_pending_and_untouched():
    outcome, touched = tried(Device(missing=[gone(Unreachability.AUTHENTICATION)]))
    assert isinstance(outcome, Pending)
    assert touched == []


def test_an_interrupted_upload_asks_again_what_is_missing():
    device = Device(ingest=[gone(), {"received": []}])
    outcome, _ = tried(device)
    assert isinstance(outcome, Committed)
    assert device.verbs().count("missing") == 2


def test_a_rollback_says_why():
    outcome, _ = tried(Device(status=[ended("rolled_back", reason="golden: wrong")]))
    assert isinstance(outcome, TurnedBack)
    assert outcome.reason == "golden: wrong"


@pytest.mark.parametrize(
    ("code", "exit_code"), [("stale", 6), ("locked", 7), ("not_trusted", 8), ("corrupt", 12)]
)
def test_a_refusal_keeps_the_devices_exit_code(code, exit_code):
    no = {"code": code, "exit_code": exit_code, "summary": "no", "detail": "why", "hint": "do"}
    outcome, _ = tried(Device(activate=[no]))
    assert isinstance(outcome, Refused)
    assert (outcome.exit_code, outcome.detail, outcome.hint) == (exit_code, "no: why", "do")


def test_a_device_that_needs_hands_is_helpless():
    outcome, _ = tried(Device(status=[ended("needs_hands", reason="old one is dead too")]))
    assert isinstance(outcome, Helpless)


def test_a_tool_that_answers_in_another_form_does_not_keep_us_for_ever():
    outcome, _ = tried(Device(status=[b"Welcome to ACME Linux\n"]), wait_s=10_000.0)
    assert isinstance(outcome, Dark)
    assert "agreed form" in outcome.detail


def test_what_a_device_says_is_cleaned_before_it_is_shown():
    assert shown("a\x1b[2Jb\x00\u202e") == "a�[2Jb��"
    assert len(shown("x" * 10_000)) < 2100


def test_an_upload_goes_on_where_it_ended_and_is_cut_into_loads(tmp_path):
    content = tmp_path / "blob"
    size = PART_BYTES + 1000
    content.write_bytes(b"x" * size)
    blob = Blob(digest=DIGEST, size_bytes=size, path=content)
    shipment = Shipment(
        site="s", device="d", prefix="/p", number=1, plan_digest=DIGEST, metadata=(), blobs=(blob,),
        tool=None, secrets=(), confirm="local", wait_s=1.0, from_generation=0,
    )  # fmt: skip
    made = list(loads(shipment, (MissingBlob(digest=DIGEST, have_bytes=500),)))
    parts = [p for pieces, _ in made for p in pieces if isinstance(p, FilePart)]
    assert parts[0].offset == 500
    assert sum(p.length for p in parts) == size - 500
    assert [carried for _, carried in made] == [PART_BYTES, 500]
