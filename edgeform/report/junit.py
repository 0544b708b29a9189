"""A plan as JUnit XML: one test case per device, so that a code host lists devices as it lists tests.

A device that can be applied as planned passes, whatever changes; one that is blocked or held fails, one
that is busy or was not reached is skipped, and its reason stands there. Form: the subset that GitLab
("Unit test report examples") and Jenkins read: testsuites, testsuite, testcase, failure, skipped, system-out.
"""

import re
from typing import assert_never
from xml.etree import ElementTree as ET

from edgeform.diagnostics import rendered
from edgeform.plan import Blocked, Busy, Changed, DevicePlan, Held, Plan, Unchanged, Unreachable
from edgeform.plan.words import costs, words_for
from edgeform.report.clean import harmless, one_line

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (2.2) knows no way to write, not even escaped."""


def junit(plan: Plan) -> str:
    """The document, with an XML declaration and a final newline."""
    cases = [_case(device) for device in plan.devices]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(c.find("failure") is not None for c in cases)),
        "skipped": str(sum(c.find("skipped") is not None for c in cases)),
        "errors": "0",
        "time": "0",
    }
    # Jenkins' schema knows no `skipped` of all suites together.
    outer = {name: value for name, value in counts.items() if name != "skipped"}
    suites = ET.Element("testsuites", {"name": "edgeform plan"} | outer)
    suite = ET.SubElement(
        suites,
        "testsuite",
        {"name": _text(f"plan of {plan.site}"), "timestamp": _text(plan.created_at)} | counts,
    )
    suite.extend(cases)
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(device: DevicePlan) -> ET.Element:
    case = ET.Element(
        "testcase",
        {"name": _text(device.device), "classname": _text(device.hardware_class), "time": "0"},
    )
    match device:
        case Changed():
            lines = []
            for change in device.changes:
                words = words_for(change)
                parts = (str(words.symbol), words.noun, words.name, words.text, costs(change))
                lines.append(one_line("  ".join(part for part in parts if part)))
            ET.SubElement(case, "system-out").text = _text("\n".join(lines))
        case Unchanged():
            pass
        case Blocked():
            first = device.problems[0] if device.problems else None
            said = f"{first.code}: {first.summary}" if first else "blocked"
            failure = ET.SubElement(case, "failure", {"type": "blocked", "message": _text(said)})
            failure.text = _text("\n\n".join(rendered(p) for p in device.problems))
        case Held():
            said = f"held: {device.detail}"
            failure = ET.SubElement(case, "failure", {"type": "held", "message": _text(said)})
            failure.text = _text(f"{device.digest}\nedgeform receipts {device.device}")
        case Busy():
            said = f"busy: {device.transaction.who} until {device.transaction.until}"
            ET.SubElement(case, "skipped", {"message": _text(said)})
        case Unreachable():
            said = f"unreachable: {device.reason}: {one_line(device.detail)}"
            ET.SubElement(case, "skipped", {"message": _text(said)})
        case _:
            assert_never(device)
    return case


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", "\n".join(harmless(line) for line in text.split("\n")))
