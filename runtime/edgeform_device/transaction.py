"""One transaction from lease to receipt, run by a detached process that nobody has to wait for.

Before `state/txn` is written a failure has changed nothing and is refused or reported. After it, the
only ways out are `txn.commit` and `txn.revert`; a process that dies leaves the rest to the guard.
"""

import os
from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

from edgeform_device import decide, generations, guard, hotswap, recovery, settle, steps
from edgeform_device.errors import DeviceError, Held, Locked, NeedsHands, Refused, RolledBack, Stale
from edgeform_device.found import Found
from edgeform_device.journal import AWAIT_CONFIRM, Journal, Outcome, prune
from edgeform_device.ports import TRANSACTION_LOCK, Environment
from edgeform_device.records import Committed, Lease, Order, State, Txn
from edgeform_device.wording import sentence
from edgeform_wire import digest as digests
from edgeform_wire.deployment import Policy
from edgeform_wire.generation import Generation

LOCK_WAIT_S = 10.0
LEASE_MARGIN_S = 600.0
"""How long a lease outlives the deadline; only what a person reads, the lock itself is the kernel's."""


@dataclass(frozen=True)
class Target:
    """What is to be activated, on disk and verified."""

    number: int
    content: Generation
    deployment: int
    policy: Policy


class Overtaken(Exception):
    """Somebody else decided while we worked."""


def transact(env: Environment, order: Order) -> Outcome:
    """Carry out an order under the transaction lock; its outcome is also in the journal.

    Raises:
        Locked: another transaction works, or this order's fence is older than the device's.
    """
    held = env.locks.take(TRANSACTION_LOCK, LOCK_WAIT_S)
    if held is None:
        raise Locked("Another transaction is at work on this device.")
    try:
        state = State(env.disk, env.layout)
        if order.fence < state.fence():
            raise Locked(
                "This order was overtaken by a newer one.",
                f"Its fence is {order.fence}, the device has issued {state.fence()}.",
            )
        if state.order() != order:
            # Nobody may carry out what was reported as abandoned while its process was starting.
            raise Stale(f"Order {order.transaction} does not stand any more.")
        settle.finish(env)
        if state.txn() is not None:
            raise Locked("An undecided transaction is waiting for its guard or a confirmation.")
        return _Run(env, order).run()
    finally:
        held.release()


def resume(env: Environment) -> Optional[Outcome]:
    """Judge a generation that needed a reboot, in the boot after it; None when there is none."""
    held = env.locks.take(TRANSACTION_LOCK, LOCK_WAIT_S)
    if held is None:
        raise Locked("Another transaction is at work on this device.")
    try:
        state = State(env.disk, env.layout)
        txn = state.txn()
        if txn is None:
            return settle.finish(env)
        lease = state.lease()
        if lease is not None and lease.transaction == txn.id:
            state.write_lease(replace(lease, pid=os.getpid()))
        return _Trial(env, txn).run()
    finally:
        held.release()


class _Run:
    """Steps 1 to 8: until the link is switched."""

    def __init__(self, env: Environment, order: Order) -> None:
        self._env = env
        self._order = order
        self._state = State(env.disk, env.layout)
        self._journal = Journal(env.disk, env.layout, env.clock, order.transaction)
        self._committed = self._state.committed()
        self._tried = settle.NO_DIGEST

    def run(self) -> Outcome:
        self._journal.begin("lease")
        try:
            prune(self._env.disk, self._env.layout)
            self._take_lease()
            # Armed before anything else: whenever this process dies, somebody else reports or reverts.
            self._journal.begin("guard")
            guard.arm(self._env, self._order.transaction)
            target = self._prepare()
        except (RolledBack, NeedsHands) as exc:
            return settle.report_drivers_failed(self._env, self._order, self._tried, exc)
        except DeviceError as exc:
            return self._refuse(exc, None)
        except OSError as exc:
            recovery.sweep(self._env)
            return self._refuse(_disk_error(exc), None)
        try:
            before = self._before()
            self._journal.begin("shadow")
            found = steps.shadow_gate(self._env, before, target.content, target.number)
            self._journal.note_checks("shadow_end", found.results)
            if found.problem:
                return self._fail_shadow(target, found)
            self._journal.begin("candidate")
            found = self._candidates(before, target, found.grown_bytes)
            self._journal.note_checks("candidate_end", found.results)
            if found.problem:
                return self._fail_shadow(target, found)
            self._journal.begin("txn")
            txn = self._txn(target)
            decide.record(self._env, txn)
        except DeviceError as exc:
            return self._refuse(exc, target)
        except OSError as exc:
            if self._state.txn() is not None:
                # Written, but perhaps not on the medium: it must be turned back, not forgotten.
                return _Trial(self._env, txn).turn_back(_disk_error(exc).summary)
            return self._refuse(_disk_error(exc), target)
        return _Trial(self._env, txn).switch()

    def _candidates(
        self, before: Optional[Generation], target: Target, seen_bytes: Dict[str, int]
    ) -> Found:
        """Judge what can be swapped in the running pipelines; a reboot ends those in any case."""
        if target.policy.reboot_required:
            return Found()
        return hotswap.gate(self._env, before, target.content, target.number, seen_bytes)

    def _take_lease(self) -> None:
        clock = self._env.clock
        order = self._order
        self._state.write_lease(
            Lease(
                transaction=order.transaction,
                who=order.who,
                plan_digest=order.plan_digest,
                fence=order.fence,
                boot_id=clock.boot_id(),
                since_s=clock.boottime_s(),
                until_s=clock.boottime_s() + LEASE_MARGIN_S,
                pid=os.getpid(),
            )
        )

    def _prepare(self) -> Target:
        if self._order.generation:
            return self._prepare_kept()
        env = self._env
        self._journal.begin("approve")
        approved = env.preparation.approve(self._order.deployment)
        self._journal.begin("preflight")
        deployment = approved.deployment
        check_base(self._committed, deployment.base.generation, deployment.base.digest)
        self._check_quarantine(deployment.generation.digest)
        env.preparation.preflight(approved, self._committed)
        self._journal.begin("blobs")
        env.preparation.materialise(approved)
        if deployment.policy.drivers is not None:
            # A transaction of its own, which has ended one way or the other when this returns.
            self._tried = deployment.generation.digest
            self._journal.begin("drivers")
            env.preparation.install_drivers(approved, self._order.transaction)
        if approved.tool is not None:
            # A transaction of its own that ends here: this process stays what it is.
            self._journal.begin("tool")
            env.tool.update(approved.tool)
        self._journal.begin("generation")
        number = generations.next_number(env.disk, env.layout, self._committed)
        generations.write(env.disk, env.layout, number, deployment, self._order.road)
        self._derive(deployment.generation)
        return Target(number, deployment.generation, deployment.number, deployment.policy)

    def _prepare_kept(self) -> Target:
        env = self._env
        number = self._order.generation
        self._journal.begin("preflight")
        content = generations.read(env.disk, env.layout, number)
        self._check_quarantine(content.digest)
        check_floors(self._state, content)
        env.preparation.verify(content)
        self._derive(content)
        deployment = generations.deployment_of(env.disk, env.layout, number)
        return Target(number, content, deployment, Policy())

    def _derive(self, content: Generation) -> None:
        self._journal.begin("derive")
        derived = self._env.preparation.derive(content)
        if derived:
            self._journal.begin("derived", derived=derived)

    def _check_quarantine(self, digest: str) -> None:
        held = self._state.quarantine().get(digest)
        if held is not None:
            raise Held(
                f"Generation {digests.short(digest)} failed here before and is held.",
                f"{held.when}: {held.reason}",
                "Publish a generation that differs; or, if what it failed of is gone, release it:\n"
                f"    edgeform release DEVICE {digests.short(digest)}",
            )

    def _before(self) -> Optional[Generation]:
        if self._committed is None:
            return None
        return generations.read(self._env.disk, self._env.layout, self._committed.generation)

    def _txn(self, target: Target) -> Txn:
        clock = self._env.clock
        committed = self._committed
        policy = target.policy
        return Txn(
            id=self._order.transaction,
            from_generation=0 if committed is None else committed.generation,
            from_digest=None if committed is None else committed.digest,
            to_generation=target.number,
            to_digest=target.content.digest,
            deployment=target.deployment,
            plan_digest=self._order.plan_digest,
            road=self._order.road,
            who=self._order.who,
            phase="trial",
            confirm=policy.confirm,
            confirm_s=policy.confirm_s,
            soak_s=policy.soak_s,
            window_s=policy.deadline_s,
            nonce=self._order.nonce,
            reboot_required=policy.reboot_required,
            boots_left=max(policy.boots, 1) if policy.reboot_required else 0,
            boot_id=clock.boot_id(),
            deadline_s=clock.boottime_s() + policy.deadline_s,
        )

    def _refuse(self, error: DeviceError, target: Optional[Target]) -> Outcome:
        """Nothing was switched: say why, and leave the old generation as it is."""
        if target is not None:
            hotswap.free_candidates(self._env, target.content)
        result = "held" if isinstance(error, Held) else "refused"
        reason = " ".join(part for part in (error.summary, error.detail) if part)
        return self._end((result, reason), target)

    def _fail_shadow(self, target: Target, found: Found) -> Outcome:
        self._journal.begin("quarantine")
        settle.hold(
            self._env,
            target.content.digest,
            found.problem,
            self._order.transaction,
            target.number,
        )
        said = f"{sentence(found.problem)} Nothing was switched."
        return self._end(("rolled_back", said), target)

    def _end(self, ending: Tuple[str, str], target: Optional[Target]) -> Outcome:
        if target is None:
            return settle.report_unswitched(self._env, self._order, ending)
        tried = (target.number, target.content.digest)
        return settle.report_tried(self._env, self._order, ending, tried)


class _Trial:
    """Steps 8 to 12: the new generation runs, and somebody decides."""

    def __init__(self, env: Environment, txn: Txn) -> None:
        self._env = env
        self._txn = txn
        self._state = State(env.disk, env.layout)
        self._journal = Journal(env.disk, env.layout, env.clock, txn.id)
        attempt = self._state.attempt()
        is_ours = attempt is not None and attempt.transaction == txn.id
        self._deadline_s = attempt.deadline_s if attempt and is_ours else txn.deadline_s

    def switch(self) -> Outcome:
        """Point the link at the new generation, then run it or reboot into it."""
        env = self._env
        try:
            self._journal.begin("switch")
            settle.point_to(env, self._txn.to_generation)
            if self._txn.reboot_required:
                self._journal.begin("reboot")
                env.services.reboot()
                self._wait(self._deadline_s)
                return self.turn_back("The device did not reboot in time.")
        except OSError as exc:
            return self.turn_back(_disk_error(exc).summary)
        except Overtaken:
            return self._finish()
        return self.run()

    def run(self) -> Outcome:
        """Run the new generation, judge it, and decide as its policy says."""
        try:
            problem = self._try()
            if problem:
                return self.turn_back(problem)
            self._journal.begin("decide")
            decide.decide_by_rename(self._env.disk, self._env.layout, is_commit=True)
        except Overtaken:
            pass
        except DeviceError as exc:
            return self.turn_back(exc.summary)
        except OSError as exc:
            return self.turn_back(_disk_error(exc).summary)
        return self._finish()

    def _try(self) -> str:
        env = self._env
        before = self._before()
        after = generations.read(env.disk, env.layout, self._txn.to_generation)
        self._journal.begin("services")
        found = steps.switch_services(env, before, after, self._txn.to_generation)
        self._journal.note_checks("services_end", found.results)
        self._raise_if_decided()
        if found.problem:
            return found.problem
        self._journal.begin("checks")
        found = steps.live_checks(env, before, after, self._txn.to_generation)
        self._journal.note_checks("checks_end", found.results)
        self._raise_if_decided()
        if found.problem:
            return found.problem
        self._journal.begin("soak")
        problem = steps.soak(env, after, self._txn.soak_s, self._is_decided)
        self._raise_if_decided()
        if problem or self._txn.confirm == "local":
            return problem
        self._journal.begin(AWAIT_CONFIRM)
        self._wait(min(self._deadline_s, env.clock.boottime_s() + self._txn.confirm_s))
        return "Nobody confirmed it in time."

    def _before(self) -> Optional[Generation]:
        committed = self._state.committed()
        if committed is None:
            return None
        return generations.read(self._env.disk, self._env.layout, committed.generation)

    def turn_back(self, reason: str) -> Outcome:
        settle.claim_revert(self._env, self._journal, reason)
        return self._finish()

    def _finish(self) -> Outcome:
        if self._state.reverting() is not None and not self._journal.reason():
            self._journal.begin("revert", reason="The deadline passed before a decision.")
        outcome = settle.finish(self._env)
        if outcome is None:
            raise Stale(f"Transaction {self._txn.id} was decided and is gone.")
        if outcome.result == "committed":
            self._journal.begin("collect")
            self._env.preparation.collect()
            self._env.disk.fill_reserve()
        return outcome

    def _is_decided(self) -> bool:
        return not self._env.disk.exists(self._env.layout.txn)

    def _raise_if_decided(self) -> None:
        if self._is_decided():
            raise Overtaken

    def _wait(self, until_s: float) -> None:
        while self._env.clock.boottime_s() < until_s:
            self._raise_if_decided()
            self._env.clock.sleep(settle.POLL_S)


def check_base(committed: Optional[Committed], generation: int, digest: Optional[str]) -> None:
    """Refuse a plan that was made for another state of this device.

    Raises:
        Stale: names both states.
    """
    here = (0, None) if committed is None else (committed.generation, committed.digest)
    if here != (generation, digest):
        raise Stale(
            f"The plan was made for generation {generation}; this device is at {here[0]}.",
            hint="Plan again.",
        )


def check_floors(state: State, content: Generation) -> None:
    """Refuse a generation with an artifact older than its floor.

    Raises:
        Refused: names the artifact, its epoch and the floor.
    """
    floors = state.floor()
    for ref in content.artifacts:
        floor = floors.get(f"{ref.kind}/{ref.name}", 0)
        if ref.epoch < floor:
            raise Refused(
                f"{ref.name}@{ref.version} has epoch {ref.epoch}; the floor here is {floor}.",
                hint="It was replaced for a reason; publish a newer one.",
            )


def _disk_error(error: OSError) -> DeviceError:
    where = f" ({error.filename})" if error.filename else ""
    return Refused(
        f"The disk refused: {error.strerror or error}{where}.",
        hint="Free space with `edgeform-device gc`, or look at `dmesg` for a failing disk.",
    )
