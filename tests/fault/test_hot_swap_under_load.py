"""A new model while clients ask without a pause: real tool, real runtime, real transaction, on a directory."""

import os
import signal

import pytest
from support.killing import assert_sound, ended, run_killed, transaction_of
from support.load import Load
from support.real_device import RealDevice, swapped_labels, wait_for


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    device = RealDevice(tmp_path_factory.mktemp("swapped"))
    assert device.apply("1.0.0")["outcome"] == "committed"
    yield device
    device.end()


@pytest.fixture
def real(shared):
    assert_sound(shared)
    return shared


def switch_of(outcome):
    return {c["name"]: c for c in outcome["receipt"]["checks"]}["switch"]


def slots(real):
    return set(real.serving()["slots"])


def test_no_request_fails_while_a_model_is_swapped(real, record_property):
    pid, version = real.runtime_pid(), f"1.1.{real.number}"
    with Load(real.layout.socket("digits")) as seen:
        wait_for(lambda: len(seen.answered) > 50, "the load to run")
        outcome = real.apply(version)
        after = len(seen.answered)
        wait_for(lambda: len(seen.answered) > after + 50, "answers after the commit")
    assert outcome["outcome"] == "committed", outcome
    assert seen.failed == []
    assert seen.versions[-1] == version
    assert switch_of(outcome)["measured"]["down_s"] == 0.0
    assert real.runtime_pid() == pid, "the process is the same"
    assert slots(real) == {"live"}
    print(f"{len(seen.answered)} answers, longest gap {seen.longest_gap_s * 1e3:.0f} ms")
    record_property("longest_gap_s", seen.longest_gap_s)


def test_no_request_fails_while_a_wrong_model_is_turned_back(real):
    """Wrong beside the live one: nothing is switched. Its shadow says so before the candidate is loaded."""
    version = real.serving()["model_ref"].partition("@")[2].partition("/")[0]
    with Load(real.layout.socket("digits")) as seen:
        outcome = real.apply(f"1.2.{real.number}", spoil=swapped_labels)
    assert outcome["outcome"] == "rolled_back"
    assert "Nothing was switched" in outcome["reason"]
    assert seen.failed == []
    assert set(seen.versions) == {version}


def test_no_request_fails_when_nobody_confirms_and_the_model_is_swapped_back(real):
    pid = real.runtime_pid()
    before = real.serving()
    version = f"1.3.{real.number}"
    with Load(real.layout.socket("digits")) as seen:
        outcome = ended(
            real, real.apply(version, confirm="controller", confirm_s=1.0)["transaction"]
        )
        after = len(seen.answered)
        wait_for(lambda: len(seen.answered) > after + 50, "answers after the way back")
    assert outcome["outcome"] == "rolled_back", outcome
    assert seen.failed == []
    assert version in seen.versions, "the new model served while it was tried"
    assert seen.versions[-1] != version
    assert real.runtime_pid() == pid
    assert real.serving()["generation"] == before["generation"]
    assert slots(real) == {"live"}
    seconds = outcome["receipt"]["seconds"]
    back_s = sum(seconds[step] for step in ("repoint", "restore", "verify"))
    print(f"back in {back_s:.2f} s")
    assert back_s < 5.0, seconds


@pytest.mark.parametrize("step", ["candidate_end", "services_end", "await_confirm"])
def test_a_killed_transaction_costs_no_request(real, step):
    """Its models stay in the memory of a process that nobody killed; the guard puts that right."""
    policy = {"confirm": "controller", "confirm_s": 1.0} if step == "await_confirm" else {}
    deployment = real.offer(f"2.{real.number}.0", **policy)
    with Load(real.layout.socket("digits")) as seen:
        done = run_killed(real, step, "after", "transact", deployment)
        assert done.returncode == -9, done.stderr.decode()[-800:]
        ended(real, transaction_of(real, deployment))
    assert_sound(real)
    assert seen.failed == []
    assert wait_for(lambda: slots(real) == {"live"}, "the second model to be freed")


@pytest.mark.parametrize("step", ["candidate_end", "services_end", "soak"])
def test_a_killed_runtime_comes_back_with_what_current_says(real, step):
    """The process dies with the models in its memory, in the middle of the transaction."""
    import threading

    deployment = real.offer(f"3.{real.number}.0", soak_s=3.0)
    transaction = real.activate(deployment, f"nonce-{step}-{real.number}")
    journal = real.layout.journal(transaction)

    def has_come_to(wanted):
        try:
            return f'"step":"{wanted}"' in open(journal).read()
        except FileNotFoundError:
            return False

    killed = []

    def kill():
        wait_for(lambda: has_come_to(step), step)
        killed.append(real.runtime_pid())
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    outcome = real.wait(transaction)
    thread.join()
    assert killed
    assert outcome["outcome"] in ("committed", "rolled_back"), outcome
    assert_sound(real)
    assert slots(real) == {"live"}


def test_twenty_swaps_do_not_grow_the_process(real):
    """What is freed is given back: the process grows by less than one more model each ten swaps."""
    from support.runtime import Control

    client = Control(str(real.layout.socket("digits")))
    number = real.state.committed().generation
    path = f"gen/{number}/pipelines/digits.json"

    def swap():
        client.ok("load", pipeline_file=path)
        client.ok("warm", slot="candidate", runs=2)
        client.ok("swap")
        client.ok("free", slot="previous")

    def resident():
        with open(f"/proc/{real.runtime_pid()}/statm") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(3):
        swap()
    before = resident()
    for _ in range(20):
        swap()
    grown = resident() - before
    print(f"grew by {grown / 2**20:.1f} MiB in 20 swaps")
    assert grown < 8 * 2**20
    client.close()


def test_the_state_says_which_generation_answers_and_recovery_puts_a_stranger_right(real):
    """Somebody swaps by hand, over the socket: no transaction knows of it, and `state` does."""
    from support.runtime import Control

    committed = real.state.committed().generation
    health = real.ask("state").said["health"][0]
    assert (health["state"], health["generation"]) == ("active", real.serving()["generation"])
    deployment = real.offer(f"9.{real.number}.0", confirm="controller", confirm_s=0.5)
    ended(real, real.activate(deployment, f"nonce-by-hand-{real.number}"))
    stranger = max(int(n) for n in os.listdir(real.layout.generations_dir) if n.isdigit())
    assert stranger != committed
    client = Control(str(real.layout.socket("digits")))
    client.ok("load", pipeline_file=f"gen/{stranger}/pipelines/digits.json")
    client.ok("swap")
    client.close()
    health = real.ask("state").said["health"][0]
    assert health["state"] == "failed"
    assert health["detail"] == f"it answers for generation {stranger}, and {committed} is committed"
    assert "started digits anew" in " ".join(real.ask("recover").said["actions"])
    assert_sound(real)
    assert real.ask("state").said["health"][0]["state"] == "active"
