"""Finishing what was decided: forward to the new generation, or back to the committed one.

Both can be cut anywhere and run again by anybody who holds the transaction lock: the transaction
itself, the guard, or recovery at boot. The decided file is removed last, so it always says what is left.
"""

from typing import Dict, List, Optional, Set, Tuple

from edgeform_device import captures, generations, hotswap
from edgeform_device.decide import decide_by_rename
from edgeform_device.errors import Corrupt, DeviceError, NeedsHands
from edgeform_device.health import Health
from edgeform_device.journal import Journal, Outcome
from edgeform_device.ports import Environment, Verdict
from edgeform_device.records import Committed, NeedsHandsRecord, Order, Quarantined, State, Txn
from edgeform_device.wording import sentence
from edgeform_wire.generation import Generation

HEALTHY_WITHIN_S = 30.0
POLL_S = 0.2
INTERRUPTED = "It was cut off before anybody decided."
ENDED_EARLY = "The transaction's process ended."
NO_DIGEST = "sha256:" + "0" * 64


def finish(env: Environment) -> Optional[Outcome]:
    """Finish a decided transaction, if there is one; an undecided one is left alone.

    A decided file and an undecided one of the same name cannot both be there: the decision renames.
    """
    state = State(env.disk, env.layout)
    reverting = state.reverting()
    if reverting is not None:
        return finish_revert(env, reverting)
    committing = state.committing()
    if committing is not None:
        return finish_commit(env, committing)
    return None


def finish_commit(env: Environment, txn: Txn) -> Outcome:
    """Make the new generation the one to return to, and only then say so."""
    state = State(env.disk, env.layout)
    journal = Journal(env.disk, env.layout, env.clock, txn.id)
    journal.begin("commit")
    before = state.committed()
    record = Committed(txn.to_generation, txn.to_digest, txn.deployment, txn.id)
    if before is None or before.transaction != txn.id:
        state.write_committed(record if before is None else before.followed_by(record))
    if not generations.is_current(env.disk, env.layout, txn.to_generation):
        point_to(env, txn.to_generation)
    journal.begin("floors")
    raise_floors(state, generations.read(env.disk, env.layout, txn.to_generation))
    env.disk.remove(env.layout.needs_hands)
    outcome = _report(env, txn, journal, ("committed", ""))
    # Said already: memory that waits for a frame in flight keeps nobody waiting.
    journal.begin("free")
    hotswap.free_previous(env, generations.read(env.disk, env.layout, txn.to_generation))
    _clear(env)
    return outcome


def finish_revert(env: Environment, txn: Txn) -> Outcome:
    """Return to the committed generation, prove that it is healthy, hold the one that failed."""
    state = State(env.disk, env.layout)
    journal = Journal(env.disk, env.layout, env.clock, txn.id)
    reason = journal.reason() or INTERRUPTED
    committed = state.committed()
    journal.begin("repoint")
    point_to(env, None if committed is None else committed.generation)
    journal.begin("restore")
    before, failed = _manifests(env, committed, txn)
    number = 0 if committed is None else committed.generation
    _remember(env, before, failed, reason)
    trouble = _restore(env, before, failed, number)
    journal.begin("verify")
    unhealthy = await_healthy(env, before)
    journal.begin("quarantine")
    if committed is None or committed.digest != txn.to_digest:
        # What runs is not held: trying the running digest again can fail for other reasons.
        hold(env, txn.to_digest, reason, txn.id, txn.to_generation)
    result = "rolled_back"
    if unhealthy:
        result = "needs_hands"
        said = " ".join(unhealthy + trouble)
        reason = f"{sentence(reason)} The generation before is not healthy either: {said}"
        state.write_needs_hands(NeedsHandsRecord(txn.id, reason, env.clock.wall_time()))
    outcome = _report(env, txn, journal, (result, reason))
    _clear(env)
    return outcome


def point_to(env: Environment, number: Optional[int]) -> None:
    """Make `current` name that generation; for None, the state of a device that never had one."""
    if number is None:
        env.disk.remove(env.layout.current)
        return
    env.disk.replace_link(env.layout.current, env.layout.generation_target(number))


def await_healthy(
    env: Environment,
    content: Optional[Generation],
    within_s: float = HEALTHY_WITHIN_S,
    failures: int = 0,
) -> Tuple[str, ...]:
    """What is not ready when the time is over, a sentence per pipeline; empty when all are.

    A runtime that fails says why, ends, and is started again: at the end it mostly says `loading`, so the
    last reason that was heard is told with it.

    Args:
        failures: after how many failed starts of one pipeline waiting for it is over; 0 for never, which
            is for going back: there is nothing else to be tried.
    """
    names = () if content is None else tuple(use.name for use in content.pipelines)
    until = env.clock.boottime_s() + within_s
    heard: Dict[str, str] = {}
    died: Dict[str, Set[int]] = {name: set() for name in names}
    while True:
        found = [env.services.health(name) for name in names]
        sick = [h for h in found if not h.is_ready]
        for health in sick:
            if health.phase == "failed":
                died[health.name].add(health.pid)
                heard[health.name] = health.detail or heard.get(health.name, "")
        is_hopeless = failures > 0 and any(
            max(h.failures, len(died[h.name])) >= failures for h in sick
        )
        if not sick or is_hopeless or env.clock.boottime_s() >= until:
            return tuple(_with_reason(h, heard.get(h.name, "")) for h in sick)
        env.clock.sleep(POLL_S)


def _with_reason(health: Health, heard: str) -> str:
    said = describe(health)
    return said if not heard or heard in said else f"{sentence(said)} Before, it failed: {heard}"


def describe(health: Health) -> str:
    if not health.is_active:
        return f"{health.name} does not run. {health.detail}".rstrip()
    if not health.phase:
        return f"{health.name} runs and its socket does not answer. {health.detail}".rstrip()
    return f"{health.name} says {health.phase}. {health.detail}".rstrip()


def raise_floors(state: State, content: Generation) -> None:
    """Never install an older epoch of these artifacts again; floors only rise."""
    before = state.floor()
    after: Dict[str, int] = dict(before)
    for ref in content.artifacts:
        name = f"{ref.kind}/{ref.name}"
        after[name] = max(after.get(name, 0), ref.epoch)
    if after != before:
        state.write_floor(after)


def hold(env: Environment, digest: str, reason: str, transaction: str, number: int) -> None:
    """Put a generation digest into quarantine; it is not tried again by itself."""
    state = State(env.disk, env.layout)
    held = state.quarantine()
    if digest not in held:
        held[digest] = Quarantined(reason, env.clock.wall_time(), transaction, number)
        state.write_quarantine(held)


def claim_revert(env: Environment, journal: Journal, reason: str) -> bool:
    """Decide against the transaction there is, by whoever holds the transaction lock."""
    journal.begin("revert", reason=reason)
    return decide_by_rename(env.disk, env.layout, is_commit=False)


def _manifests(
    env: Environment, committed: Optional[Committed], txn: Txn
) -> Tuple[Optional[Generation], Optional[Generation]]:
    before = (
        None if committed is None else generations.read(env.disk, env.layout, committed.generation)
    )
    try:
        failed = generations.read(env.disk, env.layout, txn.to_generation)
    except Corrupt:
        # The failed generation may be damaged or gone; going back must not depend on it.
        failed = None
    return before, failed


def _remember(
    env: Environment, before: Optional[Generation], failed: Optional[Generation], reason: str
) -> None:
    """Have what is about to be stopped keep the frames that it saw, where the spec says so."""
    for name in () if failed is None else generations.changed(before, failed):
        captures.on_failure(env.layout, name, env.layout.socket(name), "rollback", reason)


def _restore(
    env: Environment, before: Optional[Generation], failed: Optional[Generation], number: int
) -> Tuple[str, ...]:
    """Run the old pipelines again, each attempt for itself; what could not be done."""
    wanted = () if before is None else tuple(sorted(use.name for use in before.pipelines))
    trouble: List[str] = []
    try:
        env.services.sweep_shadows()
        env.services.stop(tuple(n for n in env.services.known() if n not in wanted))
    except DeviceError as exc:
        trouble.append(exc.summary)
    if before is not None:
        again = wanted if failed is None else generations.changed(failed, before)
        try:
            env.services.define(before)
            back = hotswap.give_back(env, failed, before, number)
            env.services.restart(tuple(n for n in again if n not in back))
            env.services.start(wanted)
        except DeviceError as exc:
            trouble.append(exc.summary)
    return tuple(trouble)


def _report(env: Environment, txn: Txn, journal: Journal, ending: Tuple[str, str]) -> Outcome:
    result, reason = ending
    return report(
        env,
        journal,
        Verdict(
            transaction=txn.id,
            road=txn.road,
            deployment=txn.deployment,
            plan_digest=txn.plan_digest,
            from_generation=txn.from_generation,
            to_generation=txn.to_generation,
            digest=txn.to_digest,
            result=result,
            reason=reason,
            checks=journal.checks(),
            seconds=journal.seconds(),
            derived=journal.derived(),
        ),
    )


def report(env: Environment, journal: Journal, verdict: Verdict) -> Outcome:
    """Write the receipt, then the journal's last line, which is what waiting controllers see."""
    journal.begin("receipt")
    outcome = Outcome(verdict.result, verdict.reason, env.receipts.record(verdict))
    journal.end(outcome)
    return outcome


def report_unswitched(env: Environment, order: Order, ending: Tuple[str, str]) -> Outcome:
    """The receipt of an order that changed nothing."""
    return report_tried(env, order, ending, (0, NO_DIGEST))


def report_tried(
    env: Environment, order: Order, ending: Tuple[str, str], tried: Tuple[int, str]
) -> Outcome:
    """The receipt of an order that was turned down before its switch.

    Args:
        ending: result and reason.
        tried: number and digest of the generation it made.
    """
    journal = Journal(env.disk, env.layout, env.clock, order.transaction)
    committed = State(env.disk, env.layout).committed()
    outcome = report(
        env,
        journal,
        Verdict(
            transaction=order.transaction,
            road=order.road,
            deployment=order.deployment,
            plan_digest=order.plan_digest,
            from_generation=0 if committed is None else committed.generation,
            to_generation=tried[0],
            digest=tried[1],
            result=ending[0],
            reason=ending[1],
            checks=journal.checks(),
            seconds=journal.seconds(),
            derived=journal.derived(),
        ),
    )
    clear_order(env)
    return outcome


def report_drivers_failed(
    env: Environment, order: Order, digest: str, error: DeviceError
) -> Outcome:
    """The receipt of driver packages that did not work; the generation that wants them is held.

    Nothing was switched, and it would try them again for ever.
    """
    reason = f"{error.summary} {error.detail}".strip()
    if digest != NO_DIGEST:
        Journal(env.disk, env.layout, env.clock, order.transaction).begin("quarantine")
        hold(env, digest, reason, order.transaction, 0)
    if isinstance(error, NeedsHands):
        record = NeedsHandsRecord(order.transaction, reason, env.clock.wall_time())
        State(env.disk, env.layout).write_needs_hands(record)
        return report_tried(env, order, ("needs_hands", reason), (0, digest))
    said = f"{sentence(reason)} Nothing was switched."
    return report_tried(env, order, ("rolled_back", said), (0, digest))


def close_abandoned(env: Environment) -> Optional[Outcome]:
    """Report an order whose process ended before anything was switched; None when there is none.

    The caller holds the transaction lock, so no process works on it.
    """
    state = State(env.disk, env.layout)
    if any((state.txn(), state.committing(), state.reverting())):
        return None
    env.services.sweep_shadows()
    committed = state.committed()
    if committed is not None:
        hotswap.free_candidates(env, generations.read(env.disk, env.layout, committed.generation))
    order = state.order()
    if order is None:
        env.disk.remove(env.layout.lease)
        return None
    try:
        undone = env.preparation.undo_drivers()
    except NeedsHands as exc:
        return report_drivers_failed(env, order, NO_DIGEST, exc)
    said = f"{ENDED_EARLY} Nothing was switched. {undone}".strip()
    return report_unswitched(env, order, ("refused", said))


def clear_order(env: Environment) -> None:
    env.disk.remove(env.layout.lease)
    env.disk.remove(env.layout.order)


def _clear(env: Environment) -> None:
    env.disk.remove(env.layout.attempt)
    clear_order(env)
    # Last: as long as one of these is there, somebody will finish.
    env.disk.remove(env.layout.txn_commit)
    env.disk.remove(env.layout.txn_revert)
