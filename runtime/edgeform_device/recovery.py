"""What is done at boot before any pipeline runs, and whenever somebody asks: put the state in order.

Idempotent, and safe to cut anywhere. It works from the state files alone and from code that no
transaction switches. Nothing it finds is guessed: what cannot be read needs a person.
"""

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

from edgeform_device import generations, guard, hotswap, settle
from edgeform_device.durable import TMP
from edgeform_device.errors import Locked
from edgeform_device.journal import Journal
from edgeform_device.ports import TRANSACTION_LOCK, Environment
from edgeform_device.records import Attempt, Committed, State, Txn

LOCK_WAIT_S = 2.0
RESUME_UNIT = "edgeform-resume"


@dataclass(frozen=True)
class Recovered:
    """What recovery did, or would do, a sentence per action."""

    actions: Tuple[str, ...]


def recover(env: Environment, *, is_dry_run: bool = False) -> Recovered:
    """Put the state in order and run the pipelines that shall run.

    Raises:
        Corrupt: a state file cannot be read.
        Locked: a transaction works; then only its guard is looked after.
    """
    if is_dry_run:
        return Recovered(planned(env))
    held = env.locks.take(TRANSACTION_LOCK, LOCK_WAIT_S)
    if held is None:
        return _beside_a_transaction(env)
    try:
        actions = _Recovery(env).run()
        # Last, because only a tool that has recovered is proven.
        done = env.tool.settle(env.clock.wall_time())
        return Recovered((*actions, done) if done else tuple(actions))
    finally:
        held.release()


def planned(env: Environment) -> Tuple[str, ...]:
    """What `recover` would do with the state as it is."""
    state = State(env.disk, env.layout)
    committed = state.committed()
    actions = [f"remove {path}" for path in leftovers(env)]
    reverting, committing, txn = state.reverting(), state.committing(), state.txn()
    if reverting is not None:
        actions.append(f"finish turning back transaction {reverting.id}")
    elif committing is not None:
        actions.append(f"finish committing transaction {committing.id}")
    elif txn is not None:
        actions.append(_plan_for_undecided(env, txn))
    wanted = None if committed is None else committed.generation
    if (
        txn is None
        and committing is None
        and not generations.is_current(env.disk, env.layout, wanted)
    ):
        actions.append(f"point current to {'nothing' if wanted is None else wanted}")
    actions.append("run the pipelines of the committed generation" if wanted else "run nothing")
    return tuple(actions)


def leftovers(env: Environment) -> Tuple[str, ...]:
    """Half-made names of a cut, in the folders that the transaction writes."""
    layout = env.layout
    folders = (layout.prefix, layout.state_dir, layout.generations_dir)
    return tuple(
        f"{folder}/{name}"
        for folder in folders
        for name in env.disk.names(folder)
        if name.endswith(TMP)
    )


def sweep(env: Environment) -> None:
    """Remove what a cut left half made."""
    for path in leftovers(env):
        env.disk.remove_tree(path)
    env.preparation.clean()


class _Recovery:
    def __init__(self, env: Environment) -> None:
        self._env = env
        self._state = State(env.disk, env.layout)
        self._actions: List[str] = []

    def run(self) -> List[str]:
        sweep(self._env)
        txn = self._state.txn()
        decided = self._state.reverting() or self._state.committing()
        if txn is not None and decided is None and self._is_left_alone(txn):
            return self._actions
        outcome = settle.finish(self._env)
        if outcome is not None:
            self._did(f"finished transaction {outcome.receipt.transaction}: {outcome.result}")
        if not guard.is_starting(self._env, self._state.lease()):
            orphan = settle.close_abandoned(self._env)
            if orphan is not None:
                self._did(f"reported transaction {orphan.receipt.transaction}: {orphan.result}")
        committed = self._state.committed()
        self._repoint(committed)
        self._run_pipelines(committed)
        return self._actions

    def _is_left_alone(self, txn: Txn) -> bool:
        """Whether the undecided transaction goes on; else it was decided against here."""
        env = self._env
        boot_id = env.clock.boot_id()
        attempt = self._state.attempt()
        is_ours = attempt is not None and attempt.transaction == txn.id
        if txn.boot_id == boot_id or (attempt and is_ours and attempt.boot_id == boot_id):
            if not guard.is_armed(env):
                guard.arm(env, txn.id)
                self._did(f"armed the guard of transaction {txn.id} again")
            return True
        left = attempt.boots_left if attempt and is_ours else txn.boots_left
        if txn.reboot_required and left > 0:
            self._try_again(txn, left - 1)
            return True
        journal = Journal(env.disk, env.layout, env.clock, txn.id)
        reason = "The device restarted before the decision."
        if txn.reboot_required:
            reason = "It was not confirmed in the boots it was given."
        settle.claim_revert(env, journal, reason)
        return False

    def _try_again(self, txn: Txn, boots_left: int) -> None:
        env = self._env
        deadline_s = env.clock.boottime_s() + txn.window_s
        # Counted before the try: a generation that crashes the device must not be tried for ever.
        self._state.write_attempt(Attempt(txn.id, env.clock.boot_id(), boots_left, deadline_s))
        if not generations.is_current(env.disk, env.layout, txn.to_generation):
            settle.point_to(env, txn.to_generation)
        lease = self._state.lease()
        if lease is not None:
            self._state.write_lease(
                replace(lease, boot_id=env.clock.boot_id(), pid=0, since_s=env.clock.boottime_s())
            )
        guard.arm(env, txn.id)
        env.launcher.start(RESUME_UNIT, ("transact", "--resume"), is_restarted=False)
        self._did(f"trying generation {txn.to_generation} in this boot, {boots_left} boots left")

    def _repoint(self, committed: Optional[Committed]) -> None:
        wanted = None if committed is None else committed.generation
        if not generations.is_current(self._env.disk, self._env.layout, wanted):
            settle.point_to(self._env, wanted)
            self._did(f"pointed current to {'nothing' if wanted is None else wanted}")

    def _run_pipelines(self, committed: Optional[Committed]) -> None:
        if committed is None:
            return
        env = self._env
        content = generations.read(env.disk, env.layout, committed.generation)
        names = tuple(sorted(use.name for use in content.pipelines))
        env.services.define(content)
        env.services.stop(tuple(n for n in env.services.known() if n not in names))
        env.services.start(names)
        # What runs already is believed to be this generation's unless it says otherwise itself.
        strangers = hotswap.strangers(env, content, committed.generation)
        env.services.restart(strangers)
        for name in strangers:
            self._did(f"started {name} anew, which served something else")
        self._did(f"run {', '.join(names) or 'nothing'} of generation {committed.generation}")

    def _did(self, action: str) -> None:
        self._actions.append(action)


def _beside_a_transaction(env: Environment) -> Recovered:
    txn = State(env.disk, env.layout).txn()
    if txn is None or guard.is_armed(env):
        raise Locked("A transaction is at work; there is nothing to recover.")
    guard.arm(env, txn.id)
    return Recovered((f"armed the guard of transaction {txn.id} again",))


def _plan_for_undecided(env: Environment, txn: Txn) -> str:
    if txn.boot_id == env.clock.boot_id():
        return f"look after the guard of transaction {txn.id}"
    if txn.reboot_required and txn.boots_left:
        return f"try transaction {txn.id} in this boot"
    return f"turn back transaction {txn.id}"
