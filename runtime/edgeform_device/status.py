"""The verb `status`: how far a transaction is, or how it ended, for whoever polls."""

from typing import TYPE_CHECKING, Any, Dict

from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.journal import AWAIT_CONFIRM, Journal
from edgeform_device.layout import Layout
from edgeform_device.records import State

if TYPE_CHECKING:
    from edgeform_device.ports import Clock

POLL_S = 0.1
MAX_WAIT_S = 300.0


def status(
    disk: Disk, layout: Layout, clock: "Clock", transaction: str, wait_s: float
) -> Dict[str, Any]:
    """Phase, steps, outcome and receipt of a transaction.

    Waits until it has ended or wants a confirmation, for at most `wait_s`.

    Raises:
        Refused: this device knows no such transaction.
    """
    journal = Journal(disk, layout, clock, transaction)
    until = clock.boottime_s() + min(max(wait_s, 0.0), MAX_WAIT_S)
    while True:
        found = _status(disk, layout, journal, transaction)
        is_over = found["outcome"] is not None or _wants_confirmation(clock, journal)
        left = until - clock.boottime_s()
        if is_over or left <= 0:
            return found
        clock.sleep(min(POLL_S, left))


def _wants_confirmation(clock: "Clock", journal: Journal) -> bool:
    """Not one of a boot before: recovery is about to turn that one back."""
    lines = journal.lines()
    return bool(lines) and (lines[-1].step, lines[-1].boot_id) == (
        AWAIT_CONFIRM,
        clock.boot_id(),
    )


def _status(disk: Disk, layout: Layout, journal: Journal, transaction: str) -> Dict[str, Any]:
    lines = journal.lines()
    state = State(disk, layout)
    order = state.order()
    if not lines and (order is None or order.transaction != transaction):
        raise Refused(f"This device knows no transaction {transaction}.")
    outcome = journal.outcome()
    steps = [
        {"step": line.step, "at_s": line.at_s, "boot_id": line.boot_id}
        for line in lines
        if line.step != "end"
    ]
    return {
        "transaction": transaction,
        "phase": str(steps[-1]["step"]) if steps else "starting",
        "steps": steps,
        "outcome": None if outcome is None else outcome.result,
        "reason": "" if outcome is None else outcome.reason,
        "receipt": None if outcome is None else outcome.receipt.to_json(),
    }
