"""Transaction, guard, controller, power and people in any order: one decision, one truth.

The transaction runs as the real code in a thread that only moves when the machine says so; the guard is
the real one, asked for one look at a time. Time, locks, disk and services are the device in memory.
"""

import threading

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.crashmodel import Killed
from support.soak import examples
from support.transact import a_device_at, a_generation, digest, next_deployment

from edgeform_device import decide, guard, recovery, settle
from edgeform_device.activate import Request, activate
from edgeform_device.errors import DeviceError
from edgeform_device.ports import GUARD_LOCK
from edgeform_device.transaction import resume, transact


class Process:
    """Code that moves from one yield point to the next, and can be killed at each."""

    def __init__(self, work):
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._is_killed = False
        self.is_over = False
        self.failure = None
        self._thread = threading.Thread(target=self._main, args=(work,), daemon=True)
        self._thread.start()

    def _main(self, work):
        self._go.acquire()
        try:
            if not self._is_killed:
                work()
        except Killed:
            pass
        except DeviceError as exc:
            self.failure = exc
        finally:
            self.is_over = True
            self._paused.release()

    def may_pause(self):
        """Called at yield points, by whoever gets there."""
        if threading.current_thread() is not self._thread:
            return
        if self._is_killed:
            raise Killed
        self._paused.release()
        self._go.acquire()
        if self._is_killed:
            raise Killed

    def step(self):
        if not self.is_over:
            self._go.release()
            assert self._paused.acquire(timeout=20)

    def kill(self):
        self._is_killed = True
        self.step()
        self._thread.join(20)


class Transactions(RuleBasedStateMachine):
    @initialize()
    def a_device(self):
        self.world = a_device_at(a_generation(model=1))
        self.process = None
        self.guard = None
        self.boots = 1
        self.model = 1
        self.confirmed = set()
        self.begun = []
        self.world.clock.on_sleep.append(self.pause)
        self.world.checks.on_run = lambda subject: self.pause()
        self.world.disk.before_call = self.before_call
        self.world.locks.on_wait = self.while_somebody_waits
        self.world.launcher.start = self.launch
        self.world.launcher.kill = lambda pid: self.kill_the_transaction()
        self.is_hung = False
        self.at = ""
        self.policies = {}

    # Yield points.

    def pause(self):
        if self.process is not None:
            self.process.may_pause()

    def before_call(self, name, path):
        if self.process is None:
            return
        if name == "rename" and path.startswith(
            ("/p/state/txn", "/p/state/committed", "/p/current")
        ):
            self.at = path
            self.process.may_pause()
            self.at = ""
        elif self.process._is_killed:
            self.process.may_pause()

    def while_somebody_waits(self):
        if not self.is_hung and self.process is not None:
            is_ours = threading.current_thread() is self.process._thread
            if not is_ours:
                self.process.step()

    def launch(self, unit, arguments, *, is_restarted):
        if arguments[0] == "guard" and self.guard is None:
            self.world.guard = self.world.locks.take(GUARD_LOCK, 0)
            self.guard = guard._Watch(self.world.env, arguments[2])
        if arguments == ("transact", "--resume"):
            self.process = Process(lambda: resume(self.world.env))

    # What happens.

    @property
    def is_working(self):
        return self.process is not None and not self.process.is_over

    @rule(
        confirm=st.sampled_from(["local", "controller", "both"]),
        bad=st.sampled_from(["good", "beside", "live"]),
        reboots=st.booleans(),
    )
    def somebody_activates(self, confirm, bad, reboots):
        self.model += 1
        content = a_generation(model=self.model)
        if bad == "beside":
            self.world.checks.bad_models.add(digest(self.model))
        if bad == "live":
            self.world.checks.bad_live.add(digest(self.model))
        deployment = next_deployment(
            self.world, content, confirm=confirm, reboot_required=reboots, boots=1
        )
        number = 1000 + self.model
        self.world.preparation.deployments[number] = deployment
        request = Request(number, 0, deployment.plan_digest, "ssh", "x", f"nonce-{self.model:06}")
        try:
            started = activate(self.world.env, request)
        except DeviceError:
            return
        self.begun.append((started.transaction, request.nonce))
        self.policies[started.transaction] = confirm
        order = self.world.state.order()
        self.process = Process(lambda: transact(self.world.env, order))

    @precondition(lambda self: self.is_working)
    @rule(steps=st.integers(1, 25))
    def the_transaction_moves(self, steps):
        for _ in range(steps):
            self.process.step()

    @precondition(lambda self: self.is_working)
    @rule()
    def the_transaction_comes_to_its_next_rename(self):
        for _ in range(300):
            self.process.step()
            if self.at or self.process.is_over:
                break

    @precondition(lambda self: self.guard is not None)
    @rule()
    def the_guard_looks(self):
        self.guard_turn()

    @precondition(lambda self: self.guard is not None and self.at.startswith("/p/state/txn"))
    @rule()
    def the_deadline_passes_while_it_decides(self):
        self.world.clock.now_s += 100.0
        self.guard_turn()

    def guard_turn(self):
        if not self.guard._watches_on():
            self.end_of_the_guard()
        self.world.clock.now_s += guard.POLL_S

    def end_of_the_guard(self):
        self.guard = None
        if self.world.guard is not None:
            self.world.guard.release()
            self.world.guard = None

    @precondition(lambda self: self.begun)
    @rule(is_right=st.booleans(), which=st.integers(0, 3))
    def a_controller_confirms(self, is_right, which):
        transaction, nonce = self.begun[-1 - which % len(self.begun)]
        try:
            decided = decide.confirm(self.world.env, transaction, nonce if is_right else "wrong")
        except DeviceError:
            return
        assert decided == "commit"
        self.confirmed.add(transaction)

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0]))
    def time_passes(self, seconds):
        self.world.clock.now_s += seconds

    @rule(is_hung=st.booleans())
    def the_transaction_hangs_or_not(self, is_hung):
        self.is_hung = is_hung

    @rule()
    def the_transaction_is_killed(self):
        self.kill_the_transaction()

    def kill_the_transaction(self):
        if self.process is not None:
            process, self.process = self.process, self.process
            process.kill()
            self.process = None

    @precondition(lambda self: self.guard is not None)
    @rule()
    def the_guard_is_killed(self):
        self.end_of_the_guard()

    @rule(is_recovered=st.booleans())
    def the_device_reboots(self, is_recovered):
        self.kill_the_transaction()
        self.end_of_the_guard()
        self.boots += 1
        self.world.reboot(f"boot-{self.boots}")
        self.world.clock.now_s = 5.0
        if is_recovered:
            self.somebody_recovers()

    @rule()
    def somebody_recovers(self):
        try:
            recovery.recover(self.world.env)
        except DeviceError:
            assert self.is_working, "recovery is refused only while somebody works"

    # What must hold.

    @invariant()
    def the_link_is_never_absent(self):
        assert self.world.current is not None

    @invariant()
    def it_is_not_decided_twice(self):
        state = self.world.state
        assert not (state.committing() is not None and state.reverting() is not None)

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self.is_hung = False
        for _ in range(400):
            if not self.is_working:
                break
            self.process.step()
        self.kill_the_transaction()
        for _ in range(3):
            if self.guard is None and self.world.state.txn() is not None:
                self.somebody_recovers()
            for _ in range(400):
                if self.guard is None:
                    break
                self.guard_turn()
        self.the_device_reboots(is_recovered=True)
        while self.is_working:
            self.process.step()
        self.kill_the_transaction()
        self.check_the_end()

    def check_the_end(self):
        world = self.world
        committed = world.state.committed()
        left = [n for n in world.disk.names("/p/state") if n.startswith(("txn", "order", "lease"))]
        assert not left
        assert world.current == committed.generation
        content = settle.generations.read(world.disk, world.layout, committed.generation)
        assert content.digest == committed.digest
        assert world.runs() == content.pipelines[0].model
        assert committed.digest not in world.state.quarantine()
        results = {r.transaction: r.result for r in world.receipts.all()}
        assert len(results) == len(world.receipts.all())
        for transaction, _ in self.begun:
            assert transaction in results
        for transaction in self.confirmed:
            assert results[transaction] == "committed", "a confirmed transaction was turned back"
        bad = world.checks.bad_models | world.checks.bad_live
        # Only a policy that leaves it to the controller alone lets it confirm before the checks end.
        alone = {t for t in self.confirmed if self.policies[t] == "controller"}
        assert content.pipelines[0].model not in bad or committed.transaction in alone


TestTransactions = Transactions.TestCase
TestTransactions.settings = settings(
    max_examples=examples(60),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
