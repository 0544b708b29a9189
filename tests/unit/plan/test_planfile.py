import json

import pytest
from support.plan import a_device, a_lock, a_plan, a_site, a_tool, a_virgin, an_absentee

from edgeform.errors import Corrupt, Stale
from edgeform.plan import decode, digest, digest_of_bytes, encode


def a_small_plan():
    site = a_site(a_device("cam-01"), a_device("cam-02"))
    return a_plan(site, a_lock(), [a_virgin("cam-01"), an_absentee("cam-02")], a_tool())


def changed(edit):
    value = json.loads(encode(a_small_plan()))
    edit(value)
    return json.dumps(value).encode()


def test_the_digest_is_that_of_the_files_bytes():
    plan = a_small_plan()
    assert digest(plan) == digest_of_bytes(encode(plan))


def test_a_newer_minor_version_is_read_and_what_is_new_in_it_left_out():
    def newer(value):
        value["minor"] = 7
        value["weather"] = "fine"
        value["devices"][0]["weather"] = "fine"
        value["devices"][0]["changes"][0]["weather"] = "fine"

    assert decode(changed(newer)) == a_small_plan()


def test_another_major_version_is_refused_as_stale():
    with pytest.raises(Stale, match=r"edgeform\.plan/2; this edgeform reads edgeform\.plan/1"):
        decode(changed(lambda value: value.update(schema="edgeform.plan/2")))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "no plan of edgeform"),
        (b'{"schema": "edgeform.lock/1"}', "no plan of edgeform"),
        (b'{"schema": "edgeform.plan/1"}', "plan.site"),
        (b'{"schema": "a", "schema": "b"}', "twice"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_plan_is_named_as_such(document, words):
    with pytest.raises(Corrupt, match=words):
        decode(document)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda v: v["devices"][0]["changes"][0].update(change="format_disk"), "format_disk"),
        (
            lambda v: v["devices"][0]["changes"][0].update(send_bytes="many"),
            "changes\\[0\\].send_bytes",
        ),
        (
            lambda v: v["devices"][0]["changes"][0].update(reboot=1),
            "reboot: expected true or false",
        ),
        (
            lambda v: v["devices"][0]["changes"][0].update(undo="maybe"),
            "expected one of generation",
        ),
        (lambda v: v["devices"][0]["changes"][2].update(after=None), "changes\\[2\\].after"),
        (lambda v: v["devices"][0]["changes"][0].pop("digest"), "'digest' is missing"),
        (lambda v: v["devices"][0].update(situation="fine"), "situation"),
        (lambda v: v["devices"].append(v["devices"][0]), "twice"),
        (lambda v: v.update(devices={}), "expected a list"),
        (lambda v: v["devices"][0].update(reasons=[["one"]]), "expected 2 values"),
    ],
)
def test_a_damaged_plan_names_the_field(edit, words):
    with pytest.raises(Corrupt, match=words):
        decode(changed(edit))
