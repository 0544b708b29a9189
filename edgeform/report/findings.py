"""What a plan or a site gives somebody to look at, as one list for SARIF, code quality and JUnit.

A finding is a diagnostic of the site, or what a plan says about a device that is more than a plain
change: blocked, held, busy, unreachable, drifted, or a change that cannot be foreseen or undone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from edgeform.diagnostics import Diagnostic, Position, Severity
from edgeform.domain.names import short
from edgeform.plan import Blocked, Busy, Changed, Held, Plan, Unchanged, Unreachable
from edgeform.plan.changes import Change, Fidelity, Reason, Undoing
from edgeform.plan.words import words_for
from edgeform.report.clean import one_line


class Weight(StrEnum):
    """How much a finding matters; the names are SARIF's levels."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to look at.

    Args:
        rule: a diagnostic's code, or `plan/...`; stable.
        address: the object in the site. position: None where nobody can name a line.
    """

    rule: str
    weight: Weight
    text: str
    address: str = ""
    position: Position | None = None
    hint: str = ""


RULES = {
    "plan/blocked": "A device cannot be planned",
    "plan/held": "What is wanted has failed on this device before",
    "plan/busy": "A device has a transaction under way",
    "plan/unreachable": "A device could not be looked at",
    "plan/drift": "A device is no longer what it confirmed",
    "plan/opaque": "Somebody else decides what a change really does",
    "plan/no-undo": "A change that nothing brings back",
    "plan/reboot": "A change that reboots the device",
}
"""What the rules of a plan mean; those of a site are diagnostics' codes."""


def of_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Finding, ...]:
    return tuple(_diagnostic(d, d.address) for d in diagnostics)


def of_plan(plan: Plan) -> tuple[Finding, ...]:
    """In the plan's order; a plain change is no finding."""
    return tuple(_of_devices(plan))


def rule_text(finding: Finding, diagnostics: Iterable[Diagnostic] = ()) -> str:
    """What the rule is about, constant for its name."""
    known = {d.code: d.summary for d in diagnostics}
    return RULES.get(finding.rule) or known.get(finding.rule, finding.rule)


def _of_devices(plan: Plan) -> Iterator[Finding]:
    for device in plan.devices:
        address = f"devices.{device.device}"
        match device:
            case Changed():
                for change in device.changes:
                    yield from _of_change(change, device.device)
            case Unchanged():
                pass
            case Held():
                text = f"{device.device}: {device.detail}: {short(device.digest)}"
                hint = f"edgeform receipts {device.device}"
                yield _finding("plan/held", Weight.WARNING, text, address, hint)
            case Busy():
                transaction = device.transaction
                text = f"{device.device}: {transaction.who} has a transaction under way"
                yield _finding("plan/busy", Weight.NOTE, text, address)
            case Unreachable():
                text = f"{device.device}: {device.reason}: {device.detail}"
                yield _finding("plan/unreachable", Weight.WARNING, text, address, device.hint)
            case Blocked():
                yield from (_diagnostic(p, p.address or address) for p in device.problems)
            case _:
                assert_never(device)


def _of_change(change: Change, device: str) -> Iterator[Finding]:
    words = words_for(change)
    what = f"{device}: {words.noun} {words.name} {words.text}".rstrip()
    address = f"devices.{device}.{change.address}"
    if change.reason is Reason.DRIFT:
        yield _finding("plan/drift", Weight.WARNING, what, address)
    if change.fidelity is Fidelity.OPAQUE:
        yield _finding("plan/opaque", Weight.NOTE, what, address)
    if change.undo is Undoing.NONE:
        yield _finding("plan/no-undo", Weight.WARNING, what, address)
    if change.reboot:
        yield _finding("plan/reboot", Weight.NOTE, what, address)


def _finding(rule: str, weight: Weight, text: str, address: str, hint: str = "") -> Finding:
    return Finding(
        rule=rule,
        weight=weight,
        text=one_line(text),
        address=one_line(address),
        hint=one_line(hint),
    )


def _diagnostic(problem: Diagnostic, address: str) -> Finding:
    weight = Weight.ERROR if problem.severity is Severity.ERROR else Weight.WARNING
    text = f"{problem.summary}: {problem.detail}" if problem.detail else problem.summary
    found = _finding(problem.code, weight, text, address, problem.hint)
    if problem.source is None:
        return found
    return Finding(
        rule=found.rule,
        weight=weight,
        text=found.text,
        address=found.address,
        position=problem.source.position,
        hint=found.hint,
    )
