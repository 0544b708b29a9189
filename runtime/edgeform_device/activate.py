"""The verbs `activate` and `rollback`: write down what shall be done, and start a detached process.

Both answer as soon as the order is durable. Asking again with the same nonce gives the same answer, so
a controller that lost the connection before the answer arrived simply asks again.
"""

import hashlib
from dataclasses import dataclass
from typing import Optional

from edgeform_device import generations, guard, settle
from edgeform_device.errors import DeviceError, Locked, Refused, Usage
from edgeform_device.journal import fence_of
from edgeform_device.ports import TRANSACTION_LOCK, Environment, HeldLock
from edgeform_device.records import Lease, Order, State
from edgeform_wire import digest as digests

LOCK_WAIT_S = 3.0
MIN_NONCE_LENGTH = 8


@dataclass(frozen=True)
class Started:
    """A transaction that runs by itself now, and the fence it was given."""

    transaction: str
    fence: int


@dataclass(frozen=True)
class Request:
    """What somebody asks for. Exactly one of `deployment` and `generation` is not zero."""

    deployment: int
    generation: int
    plan_digest: str
    road: str
    who: str
    nonce: str
    lease_s: float = 600.0


def unit_name(transaction: str) -> str:
    return f"edgeform-transaction-{transaction}"


def activate(env: Environment, request: Request) -> Started:
    """Begin the transaction that brings a deployment or returns to a kept generation.

    Raises:
        Locked: another one is at work; says whose it is, since when and until when.
        Usage: the nonce is too short to prove anything.
    """
    if len(request.nonce) < MIN_NONCE_LENGTH:
        raise Usage(f"The nonce must have at least {MIN_NONCE_LENGTH} characters.")
    again = _same_request(env, request)
    if again is not None:
        return again
    held = env.locks.take(TRANSACTION_LOCK, LOCK_WAIT_S)
    if held is None:
        again = _same_request(env, request)
        if again is not None:
            return again
        raise _locked(env)
    started = _begin(env, request, held)
    try:
        env.launcher.start(
            unit_name(started.transaction),
            ("transact", "--transaction", started.transaction),
            is_restarted=False,
        )
    except DeviceError:
        settle.clear_order(env)
        raise
    return started


def rollback(env: Environment, to: Optional[int], who: str, nonce: str) -> Started:
    """Begin the transaction that returns to a kept generation.

    Args:
        to: its number; None for the newest one committed before that is another than the present one:
            the same content has several numbers where something was put right.

    Raises:
        Refused: there is no such generation here.
    """
    state = State(env.disk, env.layout)
    committed = state.committed()
    if committed is None:
        raise Refused("This device never committed a generation, so there is nothing to return to.")
    kept = generations.numbers(env.disk, env.layout)
    candidates = tuple(n for n in committed.history if n in kept)
    others = (n for n in candidates if _digest_of(env, n) != committed.digest)
    wanted = to if to is not None else next(others, None)
    if wanted is None:
        raise Refused("No earlier generation is kept on this device.")
    if wanted not in kept:
        raise Refused(
            f"Generation {wanted} is not kept on this device.",
            f"Kept are {', '.join(map(str, kept))}.",
        )
    if wanted not in candidates and wanted != committed.generation:
        raise Refused(
            f"Generation {wanted} was never committed on this device.",
            hint="Only a generation that proved itself here can be returned to.",
        )
    return activate(
        env,
        Request(
            deployment=0,
            generation=wanted,
            plan_digest=settle.NO_DIGEST,
            road="local",
            who=who,
            nonce=nonce,
        ),
    )


def _digest_of(env: Environment, number: int) -> str:
    return digests.of_bytes(env.disk.read(env.layout.manifest(number)) or b"")


def _begin(env: Environment, request: Request, held: HeldLock) -> Started:
    state = State(env.disk, env.layout)
    try:
        if state.txn() is not None or guard.is_starting(env, state.lease()):
            raise _locked(env)
        settle.finish(env)
        settle.close_abandoned(env)
        fence = state.fence() + 1
        started = Started(f"t{fence}-{proof_of(request.nonce)}", fence)
        now = env.clock.boottime_s()
        # The fence first: a number that was ever given out is never given out again.
        state.write_fence(fence)
        state.write_lease(
            Lease(
                transaction=started.transaction,
                who=request.who,
                plan_digest=request.plan_digest,
                fence=fence,
                boot_id=env.clock.boot_id(),
                since_s=now,
                until_s=now + request.lease_s,
                pid=0,
            )
        )
        # Last: an order that can be read is one whose lease says since when it may be starting.
        state.write_order(
            Order(
                transaction=started.transaction,
                fence=fence,
                deployment=request.deployment,
                generation=request.generation,
                plan_digest=request.plan_digest,
                road=request.road,
                who=request.who,
                nonce=request.nonce,
            )
        )
    except OSError:
        settle.clear_order(env)
        raise
    finally:
        held.release()
    return started


def _same_request(env: Environment, request: Request) -> Optional[Started]:
    """The transaction that this very request has begun already, if it has and it was not stillborn."""
    state = State(env.disk, env.layout)
    order = state.order()
    if order is None or order.nonce != request.nonce:
        return _ended_request(env, request)
    if (order.deployment, order.generation) != (request.deployment, request.generation):
        return None
    has_begun = env.disk.exists(env.layout.journal(order.transaction))
    if not has_begun and not guard.is_starting(env, state.lease()):
        return None
    return Started(order.transaction, order.fence)


def _ended_request(env: Environment, request: Request) -> Optional[Started]:
    """The transaction of this nonce that has ended, as long as its journal is kept."""
    ending = f"-{proof_of(request.nonce)}.jsonl"
    found = [n for n in env.disk.names(env.layout.journal_dir) if n.endswith(ending)]
    if not found:
        return None
    newest = max(found, key=fence_of)
    return Started(newest[: -len(".jsonl")], fence_of(newest))


def proof_of(nonce: str) -> str:
    """What stands in a transaction's id for its nonce: enough to know it again, not to confirm it."""
    return hashlib.sha256(nonce.encode()).hexdigest()[:8]


def _locked(env: Environment) -> Locked:
    lease = State(env.disk, env.layout).lease()
    if lease is None:
        return Locked("Another command works on this device.", hint="Try again in a moment.")
    since = env.clock.boottime_s() - lease.since_s
    left = max(0.0, lease.until_s - env.clock.boottime_s())
    return Locked(
        f"{lease.who} is at work on this device with transaction {lease.transaction}.",
        f"Since {since:.0f} s, for {left:.0f} s more at most; plan {lease.plan_digest}.",
        f"Follow it with: edgeform-device status --transaction {lease.transaction} --wait 60",
    )
