"""The journal of one transaction: a line before each step, polled by whoever waits, kept as evidence.

Only the holder of the transaction lock writes it. It informs and never decides: recovery works from
the state files alone, so a full disk may cost lines and nothing else.
"""

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout
from edgeform_wire import canonical, receipt
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields
from edgeform_wire.receipt import CheckResult, Receipt

if TYPE_CHECKING:
    from edgeform_device.ports import Clock

AWAIT_CONFIRM = "await_confirm"
JOURNALS_KEPT = 50
"""Enough for every generation that can still be on the device; receipts are kept for ever."""


@dataclass(frozen=True)
class Outcome:
    """How a transaction ended, with the receipt that says so."""

    result: str
    reason: str
    receipt: Receipt


@dataclass(frozen=True)
class Line:
    """One step that was begun, when, and what is known with it."""

    step: str
    at_s: float
    boot_id: str
    details: Dict[str, Any]


class Journal:
    """The lines of one transaction.

    Args:
        transaction: its id.
    """

    def __init__(self, disk: Disk, layout: Layout, clock: "Clock", transaction: str) -> None:
        self._disk = disk
        self._path = layout.journal(transaction)
        self._dir = layout.journal_dir
        self._clock = clock

    def begin(self, step: str, **details: Any) -> None:
        """Say durably that a step begins, unless the disk is full."""
        line = {
            "step": step,
            "at_s": round(self._clock.boottime_s(), 3),
            "boot_id": self._clock.boot_id(),
            "details": details,
        }
        try:
            self._disk.mkdir(self._dir)
            self._disk.append_line(self._path, canonical.encode(line))
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def note_checks(self, step: str, results: Tuple[CheckResult, ...]) -> None:
        """Keep the results, so that a receipt written after a cut still has them."""
        self.begin(step, checks=[r.to_json() for r in results])

    def end(self, outcome: Outcome) -> None:
        self.begin(
            "end",
            result=outcome.result,
            reason=outcome.reason,
            receipt=outcome.receipt.to_json(),
        )

    def lines(self) -> Tuple[Line, ...]:
        """The whole lines there are; a torn one ends the reading."""
        content = self._disk.read(self._path) or b""
        found: List[Line] = []
        for raw in content.split(b"\n")[:-1]:
            try:
                fields = Fields(canonical.decode(raw, "journal line"), "journal line")
                found.append(
                    Line(
                        step=fields.text("step"),
                        at_s=fields.number("at_s"),
                        boot_id=fields.text("boot_id"),
                        details=fields.object("details"),
                    )
                )
            except WireError:
                break
        return tuple(found)

    def outcome(self) -> Optional[Outcome]:
        """How it ended; None while it has not."""
        for line in self.lines():
            if line.step == "end":
                found = receipt.from_json(line.details["receipt"])
                return Outcome(found.result, found.reason, found)
        return None

    def checks(self) -> Tuple[CheckResult, ...]:
        """The last results of each gate, in the order of the gates."""
        found: Dict[str, List[CheckResult]] = {}
        for line in self.lines():
            if "checks" in line.details:
                found[line.step] = [CheckResult(**value) for value in line.details["checks"]]
        return tuple(result for results in found.values() for result in results)

    def reason(self) -> str:
        """Why it was turned back, if somebody said so."""
        said = [line.details["reason"] for line in self.lines() if line.step == "revert"]
        return str(said[-1]) if said else ""

    def seconds(self) -> Dict[str, float]:
        """How long each step took; a step that a reboot interrupted is left out."""
        lines = self.lines()
        found: Dict[str, float] = {}
        for line, following in zip(lines, lines[1:]):
            if line.boot_id == following.boot_id:
                took = round(max(0.0, following.at_s - line.at_s), 3)
                found[line.step] = round(found.get(line.step, 0.0) + took, 3)
        return found

    def derived(self) -> Dict[str, str]:
        found: Dict[str, str] = {}
        for line in self.lines():
            found.update(line.details.get("derived", {}))
        return found


def prune(disk: Disk, layout: Layout) -> None:
    """Remove the oldest journals; fences rise, and they stand first in a transaction's id."""
    names = disk.names(layout.journal_dir)
    for name in sorted(names, key=fence_of)[: max(0, len(names) - JOURNALS_KEPT)]:
        disk.remove(os.path.join(layout.journal_dir, name))


def fence_of(name: str) -> int:
    """The fence that a transaction's id begins with; 0 where it has none."""
    digits = name[1:].partition("-")[0]
    return int(digits) if digits.isdigit() else 0
