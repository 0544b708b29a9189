"""Policies on a plan: the shipped ones, and that what cannot be judged is not allowed."""

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.plan import a_wide_plan

from edgeform.cli.main import run
from edgeform.errors import UsageError
from edgeform.plan import encode
from edgeform.plan.planfile import to_json
from edgeform.policy.rego import Policy, at_this_time, judge, read_policies

pytest.importorskip("regopy")
REPOSITORY = Path(__file__).parents[3]
SHIPPED = REPOSITORY / "site" / "factory" / "policies"
MONDAY, SUNDAY = datetime(2026, 3, 2, 14, 0, tzinfo=UTC), datetime(2026, 3, 1, 14, 0, tzinfo=UTC)


def document(now=MONDAY, **more):
    return to_json(a_wide_plan()) | {"at": at_this_time(now)} | more


def policy(text: str) -> tuple[Policy, ...]:
    return (Policy(name="mine.rego", text=text),)


def test_no_reboot_in_shop_hours():
    found = judge(read_policies(SHIPPED), document(labels={"cam-01": {"stage": "test"}}))
    assert found.denials == ("cam-01 would reboot (drivers.reboot) on a monday at 14 o'clock",)
    quiet = judge(read_policies(SHIPPED), document(SUNDAY, labels={"cam-01": {"stage": "test"}}))
    assert quiet.denials == ()
    night = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)
    assert not judge(
        read_policies(SHIPPED), document(night, labels={"cam-01": {"stage": "test"}})
    ).denials


@pytest.mark.parametrize("labels", [None, {}, {"cam-01": {"stage": "prod"}}, {"cam-01": {}}])
def test_no_opaque_change_in_production_and_what_is_unknown_is_production(labels):
    more = {} if labels is None else {"labels": labels}
    found = judge(read_policies(SHIPPED), document(SUNDAY, **more))
    assert found.denials == (
        "cam-01: nobody can say beforehand what drivers.vendor_roles.acme.camera does",
    )
    assert found.warnings == ("cam-01: nothing brings drivers.reboot back",)


def test_the_policy_of_the_documentation_is_one():
    page = (REPOSITORY / "docs" / "how-to" / "git-and-ci.md").read_text()
    (text,) = re.findall(r"```rego\n(.*?)```", page, re.DOTALL)
    assert judge(policy(text), document()).denials == ()
    many = {"devices": [{"situation": "changed"}] * 51}
    assert judge(policy(text), document() | many).denials == ("more than 50 devices in one plan",)


def test_a_folder_without_a_policy_is_no_permission(tmp_path):
    (tmp_path / "only_test.rego").write_text("package edgeform")
    with pytest.raises(UsageError, match="No policy is there"):
        read_policies(tmp_path)


@pytest.mark.parametrize("text", ["package main\ndeny contains 1", "# nothing", ""])
def test_a_file_that_would_never_be_asked_is_an_error(tmp_path, text):
    (tmp_path / "a.rego").write_text(text)
    with pytest.raises(UsageError, match="never be asked"):
        read_policies(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("package edgeform\ndeny contains {", "cannot be evaluated"),
        ("package edgeform\nimport rego.v1\nwarn contains x if { x := `a` }", "could ever say no"),
        ("package edgeform\nimport rego.v1\ndeny := true", "no set of messages"),
        ("package edgeform\nimport rego.v1\ndeny contains x if { x := 7 }", "no set of messages"),
        (
            "package edgeform\nimport rego.v1\ndeny contains x if { x := nosuch(1) }",
            "cannot be evaluated",
        ),
    ],
)
def test_a_mistake_in_a_policy_is_an_error_and_no_permission(text, said):
    with pytest.raises(UsageError, match=said):
        judge(policy(text), document())


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "regopy", None)
    with pytest.raises(UsageError) as failed:
        judge(policy("package edgeform"), document())
    assert "edgeform[policy]" in failed.value.hint


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "plan.json"
    file.write_bytes(encode(a_wide_plan()))
    return file


def test_a_denied_plan_is_exit_4_with_every_message(saved, capsys):
    code = run(["policy", str(saved), str(SHIPPED), "--at", "2026-03-02T09:30:00+01:00"])
    said = capsys.readouterr()
    assert code == 4
    assert "would reboot (drivers.reboot) on a monday at 9 o'clock" in said.err
    assert "nobody can say beforehand" in said.err
    assert "warning: cam-01: nothing brings" in said.err


def test_an_allowed_plan_is_exit_0(saved, capsys):
    saved.write_bytes(encode(replace(a_wide_plan(), devices=())))
    assert run(["policy", str(saved), str(SHIPPED)]) == 0
    assert capsys.readouterr().out == "allowed\n"


def test_the_judgement_as_json(saved, capsys):
    at = "2026-03-01T09:30:00"
    assert run(["policy", str(saved), str(SHIPPED), "--json", "--at", at]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (len(found["denials"]), len(found["warnings"])) == (1, 1)


def test_labels_come_from_the_site(saved, capsys):
    site = REPOSITORY / "site" / "factory"
    assert run(["policy", str(saved), str(SHIPPED), "--site", str(site), "--json"]) == 4
    assert capsys.readouterr().out


def test_a_time_that_is_none_is_wrong_usage(saved):
    assert run(["policy", str(saved), str(SHIPPED), "--at", "noon"]) == 64
