"""SIGKILL of the real transaction before and after each journaled step: forward, back, and in recovery.

The guard, the supervisor and the runtime are real processes on a plain directory. Whatever is killed, the
device ends on its old or its new generation, with the runtime of just that one serving, and says so.
"""

import os
import signal
from dataclasses import replace

import pytest
from support.killing import assert_sound, ended, guards, run_killed, transaction_of
from support.real_device import RealDevice, wait_for

COMMIT_STEPS = [
    *("lease", "guard", "approve", "preflight", "blobs", "generation", "derive"),
    *("shadow", "shadow_end", "candidate", "candidate_end", "txn", "switch"),
    *("services", "services_end", "checks", "checks_end", "soak"),
    *("decide", "commit", "floors", "receipt", "end", "free", "collect"),
]
RECOVERY_STEPS = ["revert", "repoint", "restore", "verify", "quarantine", "receipt", "end"]
REVERT_STEPS = ["await_confirm", *RECOVERY_STEPS]
# In every run the steps around a switch; all of them in test-all.
TELLING = {
    "candidate_end",
    "txn",
    "switch",
    "services_end",
    "decide",
    "commit",
    "repoint",
    "quarantine",
}
QUIET_RECOVERY = {"repoint"}


def cases(steps, telling):
    return [
        pytest.param(
            step,
            when,
            marks=[] if step in telling and when == "after" else [pytest.mark.slow],
        )
        for step in steps
        for when in ("before", "after")
    ]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One device for all kills: each of them leaves it sound, which is what is tested."""
    device = RealDevice(tmp_path_factory.mktemp("killed"))
    assert device.apply("1.0.0")["outcome"] == "committed"
    yield device
    device.end()


@pytest.fixture
def real(shared):
    assert_sound(shared)
    return shared


def killed_at(real, step, when, **policy):
    before = real.state.committed().generation
    deployment = real.offer(f"2.{real.number}.0", **policy)
    done = run_killed(real, step, when, "transact", deployment)
    assert done.returncode == -9, (done.returncode, done.stderr.decode()[-800:])
    found = ended(real, transaction_of(real, deployment))
    assert_sound(real)
    after = real.state.committed().generation
    assert (found["outcome"] == "committed") == (after > before), found
    return found


@pytest.mark.parametrize(("step", "when"), cases(COMMIT_STEPS, TELLING))
def test_killed_on_the_way_forward(real, step, when):
    found = killed_at(real, step, when)
    index = COMMIT_STEPS.index(step)
    if index < COMMIT_STEPS.index("txn"):
        assert found["outcome"] == "refused"
    elif index > COMMIT_STEPS.index("decide"):
        assert found["outcome"] == "committed"
    else:
        assert found["outcome"] in ("rolled_back", "refused")


@pytest.mark.parametrize(("step", "when"), cases(REVERT_STEPS, TELLING - {"quarantine"}))
def test_killed_on_the_way_back(real, step, when):
    found = killed_at(real, step, when, confirm="controller", confirm_s=0.3, deadline_s=20.0)
    assert found["outcome"] == "rolled_back"


@pytest.mark.parametrize(("step", "when"), cases(RECOVERY_STEPS, QUIET_RECOVERY))
def test_killed_in_recovery_which_then_runs_again(real, step, when):
    deployment = real.offer(f"3.{real.number}.0")
    done = run_killed(real, "checks", "after", "transact", deployment)
    assert done.returncode == -9
    cut_off_as_by_a_reboot(real)
    done = run_killed(real, step, when, "recover")
    assert done.returncode == -9, done.stderr.decode()[-800:]
    answer = real.ask("recover")
    assert answer.exit_code == 0, answer
    assert_sound(real)
    assert real.state.committed().generation != deployment.number


def cut_off_as_by_a_reboot(real):
    """End the guard, and make the transaction one of another boot, as a power cut would."""
    for pid in guards(real):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not guards(real), "the guard to end")
    txn, lease = real.state.txn(), real.state.lease()
    real.state.write_txn(replace(txn, boot_id="the-boot-before"))
    real.state.write_lease(replace(lease, boot_id="the-boot-before"))


@pytest.mark.slow
def test_the_lists_above_are_the_steps_there_are(real):
    forward = real.apply(f"4.{real.number}.0")
    assert [s["step"] for s in forward["steps"]] == [s for s in COMMIT_STEPS if s != "end"]
    back = real.apply(f"5.{real.number}.0", confirm="controller", confirm_s=0.3)
    back = ended(real, back["transaction"])
    steps = [s["step"] for s in back["steps"]]
    assert steps[steps.index("await_confirm") :] == [s for s in REVERT_STEPS if s != "end"]
