"""The dead-man switch: a process of its own that turns back what nobody decided in time.

It reads CLOCK_BOOTTIME itself, so no clock setting moves the deadline and no suspend stops it. It is
armed before there is anything to guard, and leaves by itself when nothing is left.
"""

from typing import Optional

from edgeform_device import decide, settle
from edgeform_device.errors import Locked, Refused
from edgeform_device.journal import AWAIT_CONFIRM, Journal
from edgeform_device.ports import GUARD_LOCK, TRANSACTION_LOCK, Environment, HeldLock
from edgeform_device.records import Lease, State, Txn

POLL_S = 0.25
ARMED_WITHIN_S = 15.0
STARTING_S = 20.0
"""How long a detached process may take from being asked for to holding its lock."""
HUNG_AFTER_S = 15.0
"""How long a transaction may go on after its deadline before it is ended by force."""


def unit_name(transaction: str) -> str:
    return f"edgeform-guard-{transaction}"


def arm(env: Environment, transaction: str) -> None:
    """Start the guard and wait until it watches.

    Raises:
        Refused: it did not start, so nothing may be switched.
    """
    env.launcher.start(
        unit_name(transaction), ("guard", "--transaction", transaction), is_restarted=True
    )
    until = env.clock.boottime_s() + ARMED_WITHIN_S
    while not is_armed(env):
        if env.clock.boottime_s() >= until:
            raise Refused(
                "The guard did not start, so nothing was switched.",
                hint=f"Look with: journalctl -u {unit_name(transaction)}",
            )
        env.clock.sleep(POLL_S)


def is_armed(env: Environment) -> bool:
    """Whether a guard watches this device now."""
    held = env.locks.take(GUARD_LOCK, 0.0)
    if held is None:
        return True
    held.release()
    return False


def is_starting(env: Environment, lease: Optional[Lease]) -> bool:
    """Whether a process was asked for moments ago and may not have taken its lock yet."""
    return (
        lease is not None
        and lease.pid == 0
        and lease.boot_id == env.clock.boot_id()
        and env.clock.boottime_s() - lease.since_s < STARTING_S
    )


def watch(env: Environment, transaction: str) -> None:
    """Stay until the transaction is finished; turn it back at its deadline, or finish it if it died."""
    held = env.locks.take(GUARD_LOCK, ARMED_WITHIN_S)
    if held is None:
        raise Locked("Another guard watches already.")
    try:
        _Watch(env, transaction).run()
    finally:
        held.release()


class _Watch:
    def __init__(self, env: Environment, transaction: str) -> None:
        self._env = env
        self._id = transaction
        self._state = State(env.disk, env.layout)
        self._idle_since_s: Optional[float] = None

    def run(self) -> None:
        while self._watches_on():
            self._env.clock.sleep(POLL_S)

    def _watches_on(self) -> bool:
        """Do what is due now; False when nothing is left to guard."""
        found = (self._state.txn(), self._state.committing(), self._state.reverting())
        there = [txn for txn in found if txn is not None]
        if not there:
            return self._watch_order()
        if any(txn.id != self._id for txn in there):
            return False
        if self._state.txn() is not None:
            self._watch_undecided(there[0])
        elif self._is_abandoned():
            self._finish("")
        return True

    def _watch_order(self) -> bool:
        lease = self._state.lease()
        if lease is None or lease.transaction != self._id:
            return False
        if lease.boot_id != self._env.clock.boot_id():
            return False
        if self._is_abandoned():
            held = self._env.locks.take(TRANSACTION_LOCK, POLL_S)
            if held is not None:
                try:
                    settle.close_abandoned(self._env)
                finally:
                    held.release()
        return True

    def _watch_undecided(self, txn: Txn) -> None:
        deadline_s = self._deadline(txn)
        if deadline_s is None:
            return
        if self._env.clock.boottime_s() >= deadline_s:
            self._turn_back("The deadline passed before a decision.")
        elif self._is_abandoned() and not self._may_still_be_confirmed(txn):
            self._turn_back("The transaction's process ended before a decision.")

    def _deadline(self, txn: Txn) -> Optional[float]:
        """CLOCK_BOOTTIME of this boot; None when the transaction was armed in another one."""
        boot_id = self._env.clock.boot_id()
        attempt = self._state.attempt()
        if attempt is not None and attempt.transaction == txn.id:
            return attempt.deadline_s if attempt.boot_id == boot_id else None
        return txn.deadline_s if txn.boot_id == boot_id else None

    def _turn_back(self, reason: str) -> None:
        if decide.revert(self._env, self._id):
            self._finish(reason)

    def _finish(self, reason: str) -> None:
        """Finish what is decided; a transaction that lives does it itself, one that hangs is ended."""
        held = self._take_over()
        if held is None:
            return
        try:
            if reason and self._state.reverting() is not None:
                Journal(self._env.disk, self._env.layout, self._env.clock, self._id).begin(
                    "revert", reason=reason
                )
            settle.finish(self._env)
        finally:
            held.release()

    def _take_over(self) -> Optional[HeldLock]:
        until = self._env.clock.boottime_s() + HUNG_AFTER_S
        while True:
            held = self._env.locks.take(TRANSACTION_LOCK, POLL_S)
            if held is not None or not self._is_undone():
                return held
            if self._env.clock.boottime_s() >= until:
                lease = self._state.lease()
                if lease is not None and lease.transaction == self._id and lease.pid:
                    self._env.launcher.kill(lease.pid)
                until = self._env.clock.boottime_s() + HUNG_AFTER_S

    def _is_undone(self) -> bool:
        return self._state.reverting() is not None or self._state.committing() is not None

    def _is_abandoned(self) -> bool:
        """Whether no process works on the transaction, nor is one about to."""
        held = self._env.locks.take(TRANSACTION_LOCK, 0.0)
        if held is None:
            self._idle_since_s = None
            return False
        held.release()
        now = self._env.clock.boottime_s()
        if self._idle_since_s is None:
            self._idle_since_s = now
        lease = self._state.lease()
        if lease is not None and lease.transaction == self._id and is_starting(self._env, lease):
            return False
        return now - self._idle_since_s >= 2 * POLL_S

    def _may_still_be_confirmed(self, txn: Txn) -> bool:
        if txn.confirm == "local":
            return False
        journal = Journal(self._env.disk, self._env.layout, self._env.clock, txn.id)
        return any(line.step == AWAIT_CONFIRM for line in journal.lines())
