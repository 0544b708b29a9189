"""A model-only change goes through the running pipeline: judged beside the live one, swapped, swapped back.

The device is the one in memory (support.transact); tests/fault has the real runtime under load.
"""

from dataclasses import replace

import pytest
from support.transact import World, a_device_at, a_generation, digest, next_deployment, order

from edgeform_device import hotswap, recovery, settle
from edgeform_device.control import RuntimeRefused, RuntimeSilent
from edgeform_device.errors import Refused
from edgeform_device.transaction import transact
from edgeform_wire import takeover

OLD, NEW = a_generation(model=1), a_generation(model=2)


def tried(world, content=NEW, **policy):
    return transact(world.env, order(world, next_deployment(world, content, **policy)))


def results(outcome):
    return {check.name: check for check in outcome.receipt.checks}


def pid_of(world):
    return world.services.running["cam"][0]


def test_a_new_model_is_swapped_into_the_process_that_runs():
    world = a_device_at(OLD)
    before = pid_of(world)
    outcome = tried(world)
    assert outcome.result == "committed"
    assert world.services.calls == [("shadow", "cam"), ("swap", "cam")]
    assert (pid_of(world), world.runs()) == (before, digest(2))
    assert set(world.models.memory["cam"]) == {"live"}, "nobody returns to it, so it is freed"
    switch = results(outcome)["switch"]
    assert switch.measured == {"down_s": 0.0}
    assert "went on serving" in switch.detail


def test_without_room_for_two_models_it_stops_and_starts_and_says_so():
    world = a_device_at(OLD)
    before = pid_of(world)
    world.models.room = 20 * 1024 * 1024
    outcome = tried(world)
    assert outcome.result == "committed"
    assert ("restart", "cam") in world.services.calls
    assert pid_of(world) != before
    said = results(outcome)["candidate"]
    assert said.verdict == "skipped"
    assert said.detail == (
        "it stops and starts: no room for two models: 20 MiB of memory left, 33 MiB needed"
    )
    assert said.measured["available_bytes"] == 20 * 1024 * 1024
    assert "stopped and started" in results(outcome)["switch"].detail


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"runtime": 101}, "the runtime changes"),
        ({"limits": {"memory_bytes": 10**9, "cpu_percent": None}}, "its limits change"),
        ({"stages": {"serving": {"port": 1}}}, "its serving changes"),
        ({"stages": {"postprocess": {"kind": "yolo"}}}, "its postprocess is another kind"),
    ],
)
def test_what_a_process_was_started_with_needs_a_start(changes, why):
    after = a_generation(model=2, **changes)
    assert takeover.obstacle(OLD, after, "cam") == why
    world = a_device_at(OLD)
    outcome = tried(world, after)
    assert ("restart", "cam") in world.services.calls
    assert results(outcome)["candidate"].detail == f"it stops and starts: {why}"


def test_what_stands_next_to_the_model_is_swapped_with_it():
    stages = {"preprocess": [{"kind": "layout"}], "postprocess": {"kind": "classify", "top_k": 1}}
    before = a_generation(model=1, stages=stages)
    after = a_generation(model=1, stages={**stages, "preprocess": []})
    assert takeover.obstacle(before, after, "cam") == ""
    assert takeover.obstacle(None, after, "cam") == "it does not run yet"
    assert "puts right" in takeover.obstacle(before, before, "cam")


def test_a_model_that_fails_in_the_running_process_switches_nothing():
    world = a_device_at(OLD)
    world.services.available = 1000  # no shadow
    world.checks.bad_models.add(digest(2))
    outcome = tried(world)
    assert outcome.result == "rolled_back"
    assert outcome.reason.startswith("Candidate: Checks failed. cam: candidate.golden")
    assert "Nothing was switched" in outcome.reason
    assert world.services.calls == []
    assert set(world.models.memory["cam"]) == {"live"}
    assert NEW.digest in world.state.quarantine()


def test_what_the_process_cannot_take_over_after_all_gets_a_start():
    world = a_device_at(OLD)
    world.models.refusal = RuntimeRefused("the runtime refused 'load'", "another vocabulary stage")
    world.models.refusal.reason = "needs_restart"
    outcome = tried(world)
    assert outcome.result == "committed"
    assert results(outcome)["candidate"].detail == "it stops and starts: another vocabulary stage"


@pytest.mark.parametrize(
    ("available", "result"), [(10**9, "committed"), (1000, "rolled_back")], ids=["seen", "unseen"]
)
def test_a_process_that_dies_of_the_model_ends_it_unless_a_shadow_has_loaded_it(available, result):
    world = a_device_at(OLD)
    world.services.available = available
    world.models.refusal = RuntimeSilent("no usable answer to 'load'", "closed")
    outcome = tried(world)
    assert outcome.result == result
    assert world.runs() == digest(2 if result == "committed" else 1)


def test_a_failure_after_the_swap_is_swapped_back_without_a_start():
    world = a_device_at(OLD)
    before = pid_of(world)
    world.checks.bad_live.add(digest(2))
    outcome = tried(world)
    assert outcome.result == "rolled_back"
    assert world.services.calls == [("shadow", "cam"), ("swap", "cam"), ("swap", "cam")]
    assert (pid_of(world), world.runs()) == (before, digest(1))
    assert set(world.models.memory["cam"]) == {"live"}


def test_a_model_swapped_back_that_does_not_answer_right_is_started_anew():
    world = a_device_at(OLD)
    before = pid_of(world)
    world.checks.bad_live.update((digest(2), digest(1)))
    tried(world)
    assert world.services.calls[-1] == ("restart", "cam")
    assert pid_of(world) != before
    assert world.runs() == digest(1)


def test_memory_that_is_not_what_it_should_be_is_not_built_on():
    """The process was started anew between swap and failure: it has no previous model to give back."""
    world = a_device_at(OLD)
    world.checks.bad_live.add(digest(2))

    def crash(subject):
        if subject.slot == "live" and ".shadow." not in subject.socket_path:
            world.checks.on_run = lambda subject: None
            world.services.crash("cam")

    world.checks.on_run = crash
    outcome = tried(world)
    assert outcome.result == "rolled_back"
    assert world.runs() == digest(1)


def test_a_process_that_started_anew_before_the_swap_serves_the_new_one_already():
    world = a_device_at(OLD)
    switch = type(world.disk).replace_link

    def switched(path, target):
        switch(world.disk, path, target)
        world.services.crash("cam")

    world.disk.replace_link = switched
    outcome = tried(world)
    assert outcome.result == "committed"
    assert "started anew by itself" in results(outcome)["switch"].detail
    assert world.runs() == digest(2)


def test_a_refusal_after_the_candidate_leaves_no_second_model_behind():
    world = a_device_at(OLD)
    write = world.disk.write_file

    def full(path, content, mode=0o644):
        if path == world.layout.txn:
            raise OSError(28, "No space left on device")
        write(path, content, mode)

    world.disk.write_file = full
    outcome = tried(world)
    assert outcome.result == "refused"
    assert set(world.models.memory["cam"]) == {"live"}


def test_recovery_starts_anew_what_says_that_it_serves_something_else():
    world = a_device_at(OLD)
    model, slot = world.models.memory["cam"]["live"]
    world.models.memory["cam"]["live"] = (model, replace(slot, content=digest(77)))
    done = recovery.recover(world.env)
    assert world.services.calls == [("restart", "cam")]
    assert "started cam anew, which served something else" in done.actions


def test_what_a_model_needs_is_what_was_seen_of_it_or_of_the_live_one():
    world = a_device_at(OLD)
    use = NEW.pipelines[0]
    held = world.models.held("cam")
    assert hotswap._needed_bytes(OLD, NEW, use, held) == 10**6
    bigger = replace(NEW, artifacts=tuple(replace(a, size_bytes=3000) for a in NEW.artifacts))
    assert hotswap._needed_bytes(OLD, bigger, use, held) == 3 * 10**6


def test_a_transaction_that_never_came_to_its_switch_leaves_no_candidate():
    world = a_device_at(OLD)
    world.models.load("cam", 1)
    order(world, next_deployment(world, NEW))
    settle.close_abandoned(world.env)
    assert set(world.models.memory["cam"]) == {"live"}


@pytest.mark.parametrize("is_bad", [False, True], ids=["good", "bad"])
def test_a_pipeline_that_dies_at_any_moment_comes_back_with_what_current_says(is_bad):
    """Before each system call of the whole transaction the pipeline's process dies and starts anew."""
    ended = at = 0
    while not ended:
        at += 1
        world = a_device_at(OLD, world=World())
        if is_bad:
            world.checks.bad_live.add(digest(2))
        calls = [0]

        def die(name, path, world=world, calls=calls, at=at):
            calls[0] += 1
            if calls[0] == at and world.current is not None:
                world.services.crash("cam")

        world.disk.before_call = die
        outcome = tried(world)
        committed = world.state.committed()
        assert outcome.result in ("committed", "rolled_back"), (at, outcome.reason)
        assert (committed.generation == 2) == (outcome.result == "committed"), at
        assert world.current == committed.generation, at
        assert world.runs() == digest(committed.generation), at
        assert set(world.models.memory["cam"]) == {"live"}, at
        ended = calls[0] < at
    assert at > 60


def test_preparations_that_refuse_come_before_any_candidate():
    world = a_device_at(OLD)
    world.preparation.refusal = Refused("no space")
    loaded = []
    world.models.on_load = loaded.append
    assert tried(world).result == "refused"
    assert loaded == []
