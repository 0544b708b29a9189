"""From an offer to an outcome without a controller: copy, activate, wait, confirm; for stick and `pull`.

The transaction is the same detached one that a controller starts; whoever waits here may be killed, and the
device goes on alone. One of these at a time: two would copy the same blobs twice.
"""

import secrets
from typing import Any, Callable, Dict

from edgeform_device import activate as orders
from edgeform_device import decide, guard
from edgeform_device import status as polling
from edgeform_device.errors import (
    DeviceError,
    Held,
    Incomplete,
    Locked,
    NeedsHands,
    Refused,
    RolledBack,
    Stale,
)
from edgeform_device.journal import AWAIT_CONFIRM
from edgeform_device.offer import Medium, Offer
from edgeform_device.ports import TRANSACTION_LOCK, Environment, HeldLock
from edgeform_device.records import State
from edgeform_device.session import Session
from edgeform_device.trusted import Approved
from edgeform_wire import digest as digests

BRING_LOCK = "bring.lock"
POLL_S = 5.0
MARGIN_S = 120.0
"""Beyond the policy's own times: shadow, checks and recovery have limits of their own."""
REST_S = 30.0
ERRORS = {"rolled_back": RolledBack, "refused": Refused, "held": Held, "needs_hands": NeedsHands}


def bring_lock(env: Environment) -> HeldLock:
    """The right to bring something here.

    Raises:
        Locked: somebody else does, or a transaction is under way.
    """
    held = env.locks.take(BRING_LOCK, 0.0)
    if held is None:
        raise Locked(
            "Another stick or pull is being read on this device.",
            hint="Wait until it has ended, then repeat the command.",
        )
    lease = State(env.disk, env.layout).lease()
    if _is_at_work(env):
        held.release()
        whose = "A transaction" if lease is None else f"{lease.who} with {lease.transaction}"
        raise Locked(
            f"{whose} is at work on this device.",
            detail="Nothing was read and nothing was changed.",
            hint="Wait until it has ended, then repeat the command.",
        )
    return held


def _is_at_work(env: Environment) -> bool:
    """As `activate` asks: an order that nobody carries out any more stands in nobody's way."""
    working = env.locks.take(TRANSACTION_LOCK, 0.0)
    if working is None:
        return True
    working.release()
    state = State(env.disk, env.layout)
    return state.txn() is not None or guard.is_starting(env, state.lease())


def undertake(
    session: Session, env: Environment, offer: Offer, medium: Medium, *, is_repeat: "IsRepeat"
) -> Dict[str, Any]:
    """What became of the repository's deployment for this device: `committed` or `unchanged`.

    Args:
        is_repeat: whether an obstacle has been reported before, so that no receipt says it again.

    Raises:
        DeviceError: what stands against it, or how it ended otherwise.
    """
    approved = offer.examine()
    answer: Dict[str, Any] = {
        "deployment": approved.deployment.number,
        "digest": approved.deployment.generation.digest,
        "freshness": approved.freshness,
        "copied_bytes": 0,
    }
    if offer.is_here(approved):
        return dict(answer, outcome="unchanged")
    obstacles = offer.obstacles(approved)
    if obstacles and is_repeat(approved, obstacles[0]):
        raise obstacles[0]
    if not obstacles:
        session.say(f"copying from {medium.place}")
        answer["copied_bytes"] = offer.bring(approved)
    # With obstacles the transaction refuses by itself, and writes the receipt that says why.
    offer.has_begun = True
    outcome = _carry_out(session, env, approved, medium)
    if outcome["outcome"] == "committed":
        return dict(answer, outcome="committed")
    found = ERRORS.get(str(outcome["outcome"]), NeedsHands)
    if obstacles and outcome["outcome"] == "refused":
        found = type(obstacles[0])
    raise found(
        f"Deployment {approved.deployment.number} ended {outcome['outcome']}.".replace("_", " "),
        detail=str(outcome["reason"]),
        hint="The receipt says it too; take it home."
        if medium.road == "usb"
        else "Publish a deployment that differs.",
    )


IsRepeat = Callable[[Approved, DeviceError], bool]


def _carry_out(
    session: Session, env: Environment, approved: Approved, medium: Medium
) -> Dict[str, Any]:
    deployment = approved.deployment
    policy = deployment.policy
    nonce = secrets.token_hex(16)
    wait_s = policy.deadline_s + policy.confirm_s + policy.soak_s + MARGIN_S
    started = orders.activate(
        env,
        orders.Request(
            deployment=deployment.number,
            generation=0,
            plan_digest=deployment.plan_digest,
            road=medium.road,
            who=medium.road,
            nonce=nonce,
            lease_s=wait_s,
        ),
    )
    session.say(
        f"transaction {started.transaction}: deployment {deployment.number},"
        f" generation {digests.short(deployment.generation.digest)}"
    )
    until = env.clock.boottime_s() + wait_s
    phase = ""
    while env.clock.boottime_s() < until:
        found = polling.status(env.disk, env.layout, env.clock, started.transaction, POLL_S)
        if found["phase"] != phase:
            phase = str(found["phase"])
            session.say(phase)
        if found["outcome"] is not None:
            _await_rest(env)
            return found
        if phase == AWAIT_CONFIRM and not _confirmed(env, started.transaction, nonce, medium):
            env.clock.sleep(1.0)
    raise Incomplete(
        f"Transaction {started.transaction} has no outcome after {wait_s:.0f} s.",
        detail="It decides by its own deadline, whoever waits.",
        hint=f"Look with: edgeform-device status --transaction {started.transaction} --wait 60",
    )


def _await_rest(env: Environment) -> None:
    """Give the transaction's process the time to clear up after its last word.

    What is reported next would otherwise say for ever that a transaction is at work.
    """
    until = env.clock.boottime_s() + REST_S
    while _is_at_work(env) and env.clock.boottime_s() < until:
        env.clock.sleep(0.1)


def _confirmed(env: Environment, transaction: str, nonce: str, medium: Medium) -> bool:
    """Confirm in the controller's place: whoever ordered it is still there, and the road is still open."""
    try:
        if medium.read("trust/metadata/timestamp.json", 1) is None:
            return False
        decide.confirm(env, transaction, nonce)
    except (Stale, Incomplete, Locked):
        return False  # too late, or not reached: the next status tells
    return True
