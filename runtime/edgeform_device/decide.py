"""The decision: one rename of `state/txn`, to `txn.commit` or `txn.revert`. The loser finds no file.

Three may decide: the transaction by its checks, a controller by its nonce, the guard by its deadline.
None of them takes the transaction lock, so a transaction that hangs can neither stop nor be stopped by
the others' waiting. Looking first and deciding later is safe only because a new transaction cannot be
written meanwhile: whoever decides holds `decide.lock` shared, and `record` holds it alone.
"""

import hmac

from edgeform_device.durable import Disk
from edgeform_device.errors import Locked, Refused, Stale
from edgeform_device.journal import AWAIT_CONFIRM, Journal
from edgeform_device.layout import Layout
from edgeform_device.ports import DECIDE_LOCK, Environment
from edgeform_device.records import State, Txn

LOCK_WAIT_S = 5.0


def record(env: Environment, txn: Txn) -> None:
    """Write the undecided transaction. From here on somebody decides, whatever happens to us."""
    held = env.locks.take(DECIDE_LOCK, LOCK_WAIT_S)
    if held is None:
        raise Locked("Somebody is deciding about an earlier transaction.", hint="Try again.")
    try:
        State(env.disk, env.layout).write_txn(txn)
    finally:
        held.release()


def commit(env: Environment, transaction: str) -> bool:
    """Decide for it; False when it was decided before."""
    return _decide(env, transaction, is_commit=True)


def revert(env: Environment, transaction: str) -> bool:
    """Decide against it; False when it was decided before."""
    return _decide(env, transaction, is_commit=False)


def confirm(env: Environment, transaction: str, nonce: str) -> str:
    """Decide for a transaction from outside, once: `commit`, also when that is decided already.

    Raises:
        Stale: there is no such transaction, or it was turned back.
        Refused: wrong nonce, or its checks have not passed yet and its policy wants both.
    """
    state = State(env.disk, env.layout)
    txn = state.txn()
    if txn is not None and txn.id == transaction:
        if not hmac.compare_digest(txn.nonce.encode(), nonce.encode()):
            raise Refused("The nonce is not the one this transaction was started with.")
        if txn.confirm == "local":
            raise Refused("This transaction is decided by its checks alone.")
        if txn.confirm == "both" and not has_passed_checks(env, transaction):
            raise Refused("The checks have not passed yet.", hint="Confirm again in a moment.")
        if commit(env, transaction):
            return "commit"
    deciding = state.committing()
    if deciding is not None and deciding.id == transaction:
        return "commit"
    committed = state.committed()
    if committed is not None and committed.transaction == transaction:
        return "commit"
    raise Stale(
        f"Transaction {transaction} is not waiting for a confirmation.",
        "It was turned back, or it never was on this device.",
        f"Look with: edgeform-device status --transaction {transaction}",
    )


def has_passed_checks(env: Environment, transaction: str) -> bool:
    journal = Journal(env.disk, env.layout, env.clock, transaction)
    return any(line.step == AWAIT_CONFIRM for line in journal.lines())


def _decide(env: Environment, transaction: str, *, is_commit: bool) -> bool:
    held = env.locks.take(DECIDE_LOCK, LOCK_WAIT_S, is_shared=True)
    if held is None:
        raise Locked("A transaction is just being written.", hint="Try again.")
    try:
        txn = State(env.disk, env.layout).txn()
        if txn is None or txn.id != transaction:
            return False
        return decide_by_rename(env.disk, env.layout, is_commit=is_commit)
    finally:
        held.release()


def decide_by_rename(disk: Disk, layout: Layout, *, is_commit: bool) -> bool:
    """Rename, and learn from its success who won. Never ask first whether the file is there."""
    try:
        disk.rename(layout.txn, layout.txn_commit if is_commit else layout.txn_revert)
    except FileNotFoundError:
        return False
    return True
