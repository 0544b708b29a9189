"""A plan as markdown, JUnit, SARIF, code quality and HTML; tests/golden/documents/ is read as prose."""

import html.parser
import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from support.plan import a_wide_plan

from edgeform.cli.options import PLAN_DOCUMENTS, SITE_DOCUMENTS
from edgeform.diagnostics import Diagnostic, Position, Severity, Source
from edgeform.plan import Blocked, Changed, Plan, Unchanged, Unreachable
from edgeform.plan import changes as c
from edgeform.report.documents import plan_document, site_document
from edgeform.report.findings import of_plan
from edgeform.report.markdown import LIMIT, marker

ENDINGS = {
    "markdown": "md",
    "junit": "xml",
    "sarif": "sarif",
    "codequality": "json",
    "html": "html",
}
SURROUND = {"whole": "site/lab/site.yaml", "rest": "https://github.com/acme/site/actions/runs/11"}


def document(form: str, plan: Plan | None = None) -> str:
    return plan_document(plan or a_wide_plan(), form, **SURROUND)


@pytest.fixture(autouse=True)
def one_version(monkeypatch):
    monkeypatch.setattr("edgeform.report.sarif.VERSION", "0.0.0")


@pytest.mark.parametrize("form", PLAN_DOCUMENTS)
def test_a_plan_with_everything_in_it(form, golden):
    golden(f"documents/plan.{ENDINGS[form]}", document(form))


@pytest.mark.parametrize("form", PLAN_DOCUMENTS)
def test_an_empty_plan_is_a_whole_document(form):
    empty = replace(a_wide_plan(), devices=())
    text = document(form, empty)
    if form == "codequality":
        assert json.loads(text) == []
    elif form == "sarif":
        assert json.loads(text)["runs"][0]["results"] == []
    elif form == "junit":
        assert ET.fromstring(text.encode()).get("tests") == "0"
    else:
        assert "0 to change" in text


def problems() -> tuple[Diagnostic, ...]:
    here = Source(position=Position(file="site/lab/devices.yaml", line=12, column=5), line_text="x")
    return (
        Diagnostic(
            code="EF1001", summary="unknown key", detail="There is no 'conect'.", source=here
        ),
        Diagnostic(
            code="EF1002", summary="odd", severity=Severity.WARNING, address="devices.cam-01"
        ),
    )


@pytest.mark.parametrize("form", SITE_DOCUMENTS)
def test_the_problems_of_a_site(form, golden):
    golden(
        f"documents/site.{ENDINGS[form]}",
        site_document(problems(), form, whole="site/lab/site.yaml"),
    )


def test_sarif_has_what_its_standard_and_github_demand():
    log = json.loads(document("sarif"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert not place["artifactLocation"]["uri"].startswith(("/", "./"))
        assert place["region"]["startLine"] >= 1
        assert set(result["partialFingerprints"]) == {"edgeform/v1"}


def test_sarif_counts_what_a_code_host_would_drop():
    plan = a_wide_plan()
    lost = tuple(
        Unreachable(device=f"d{n}", hardware_class="pi-5", reason="timeout", detail="", hint="")
        for n in range(5001)
    )
    (run,) = json.loads(document("sarif", replace(plan, devices=lost)))["runs"]
    assert (len(run["results"]), run["properties"]) == (5000, {"left_out": 1})


def test_code_quality_has_the_documented_fields_and_no_fingerprint_twice():
    report = json.loads(document("codequality"))
    assert report
    for entry in report:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["location"]["path"]
        assert entry["location"]["lines"]["begin"] >= 1
    prints = [entry["fingerprint"] for entry in report]
    assert len(prints) == len(set(prints))


def test_two_findings_that_say_the_same_are_both_shown():
    twice = json.loads(site_document(problems()[:1] * 2, "codequality", whole="x"))
    assert len({entry["fingerprint"] for entry in twice}) == 2


def test_junit_has_one_case_per_device_and_says_why_each_failed_or_was_skipped():
    suites = ET.fromstring(document("junit").encode())
    (suite,) = suites
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    assert kinds == {
        "cam-01": ["system-out"], "cam-02": [], "cam-03": ["skipped"], "cam-04": ["failure"],
        "cam-05": ["failure"], "cam-06": ["skipped"],
    }  # fmt: skip
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("6", "2", "2")


JENKINS = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "skipped": {"message"},
    "system-out": set(),
}
"""What may stand where, of junit-10.xsd of Jenkins' xunit plugin; the golden file was checked against all of it."""


def test_junit_has_only_what_jenkins_schema_knows():
    for found in ET.fromstring(document("junit").encode()).iter():
        assert set(found.attrib) <= JENKINS[found.tag], found.tag


def test_junit_survives_what_xml_cannot_write():
    plan = a_wide_plan()
    bad = Unreachable(
        device="d\0\x1b", hardware_class="\ud800", reason="\ufffe", detail="\x07", hint=""
    )
    ET.fromstring(document("junit", replace(plan, devices=(bad,))).encode())


def test_what_is_blocked_keeps_its_line():
    found = {f.rule: f for f in of_plan(a_wide_plan())}
    assert found["EF2103"].position == Position(file="site.yaml", line=3, column=7)
    assert {"plan/held", "plan/busy", "plan/unreachable", "plan/drift", "plan/reboot"} <= set(found)


NASTY = "``` \n</details><img src=x onerror=alert(1)> @everyone #1 \u202e [a](b) <!-- edgeform:plan:lab -->"


def with_words(words: str) -> Plan:
    plan = a_wide_plan()
    bad = Unreachable(device="cam-09", hardware_class="x", reason=words, detail=words, hint=words)
    blocked = Blocked(
        device="cam-10",
        hardware_class="x",
        base=None,
        problems=(Diagnostic(code="EF2103", summary=words, detail=words, hint=words),),
    )
    return replace(plan, devices=(bad, blocked), site=words, made_by=words, selector=words)


def test_a_devices_words_cannot_leave_their_fence():
    text = document("markdown", with_words(NASTY))
    outside = re.sub(r"(?s)\n(`{3,})diff\n.*?\n\1\n", "\n", text)
    assert text.count("<details>") == text.count("\n</details>") == 2
    assert "<img" not in outside
    assert "@everyone" not in outside
    assert "\u202e" not in text
    assert "\n```\n" not in re.sub(r"\n(`{4,})diff\n(?s:.*?)\n\1\n", "\n", text)


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.attributes = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_a_page_loads_nothing_and_runs_nothing_whatever_devices_say():
    tags = Tags()
    tags.feed(document("html", with_words(NASTY)))
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(tags.tags)
    names = {name for name, _ in tags.attributes}
    assert not {n for n in names if n.startswith("on")} | ({"src", "srcset"} & names)
    assert all(value.startswith("#") for name, value in tags.attributes if name == "href")
    policy = dict(tags.attributes)["content"]
    assert policy, "the page forbids itself to load anything"


def many_groups(count: int, fields: int) -> Plan:
    """`count` devices, each with another diff, so that nothing can be told together."""
    plan = a_wide_plan()
    (base,) = {d.base for d in plan.devices if isinstance(d, Changed)}
    devices = tuple(
        Changed(
            device=f"cam-{n:05}",
            hardware_class="pi-5",
            base=base,
            target=base.digest,
            changes=(
                c.ChangePipeline(
                    name="digits",
                    reason=c.Reason.SPEC_CHANGED,
                    fields=tuple(
                        c.FieldChange(path=f"vars.f{m}", before=str(n), after=f'"é{m}"')
                        for m in range(fields)
                    ),
                ),
            ),
        )
        for n in range(count)
    )
    return replace(plan, devices=devices)


def test_whole_groups_are_left_out_counted_and_the_rest_is_named():
    text = document("markdown", many_groups(400, 20))
    assert len(text.encode()) <= LIMIT
    shown = text.count("<details>")
    left = re.search(r"\*\*(\d+) groups \((\d+) devices\) did not fit", text)
    assert left is not None
    assert shown + int(left[1]) == 400 == shown + int(left[2])
    assert text.count("<details>") == text.count("</details>")
    assert SURROUND["rest"] in text
    assert text.startswith(marker("lab") + "\n")


def test_one_group_too_large_for_any_comment_does_not_hide_the_others():
    big = many_groups(1, 4000).devices
    small = many_groups(3, 2).devices[1:]
    text = document("markdown", replace(a_wide_plan(), devices=(*big, *small)))
    assert text.count("<details>") == 2
    assert "1 group (1 device) did not fit" in text


def test_a_fleet_that_is_as_it_should_be_is_one_line():
    plan = a_wide_plan()
    (base,) = {d.base for d in plan.devices if isinstance(d, Changed)}
    same = tuple(
        Unchanged(device=f"cam-{n}", hardware_class="pi-5", base=base) for n in range(10_000)
    )
    text = document("markdown", replace(plan, devices=same))
    assert len(text) < 600
    assert "10000 devices" in text
