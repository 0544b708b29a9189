"""One transaction, start to receipt, on a device in memory: every way out."""

import errno

import pytest
from support.transact import (
    World,
    a_deployment,
    a_device_at,
    a_generation,
    digest,
    next_deployment,
    order,
)

from edgeform_device import decide, quarantine, recovery
from edgeform_device.activate import Request, activate, rollback
from edgeform_device.errors import Locked, Refused, Stale
from edgeform_device.status import status
from edgeform_device.transaction import resume, transact

NONCE = "nonce-of-one-request"
GOOD, BAD = a_generation(model=2), a_generation(model=3)


def tried(world, content=GOOD, **policy):
    return transact(world.env, order(world, next_deployment(world, content, **policy)))


def test_a_good_generation_is_committed_and_serves():
    world = a_device_at(a_generation(model=1))
    outcome = tried(world, a_generation(model=2, epoch=2))
    assert outcome.result == "committed"
    assert world.current == world.state.committed().generation == 2
    assert world.runs() == digest(2)
    assert world.state.committed().history == (1,)
    assert world.state.floor()["model/digits"] == 2
    assert world.preparation.collected == 1


def test_nothing_of_a_finished_transaction_stays_behind():
    world = a_device_at(a_generation(model=1))
    tried(world)
    left = world.disk.names(world.layout.state_dir)
    assert left == ["committed", "fence", "floor", "journal"]


def test_the_receipt_names_what_was_tried_and_its_checks():
    world = a_device_at(a_generation(model=1))
    tried(world)
    (receipt,) = world.receipts.all()
    assert (receipt.from_generation, receipt.to_generation) == (1, 2)
    assert receipt.digest == GOOD.digest
    names = [c.name for c in receipt.checks]
    assert names == ["shadow.golden", "candidate.golden", "switch", "golden"]
    assert "checks" in receipt.seconds


def test_a_model_that_fails_beside_the_live_one_switches_nothing():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_models.add(digest(3))
    outcome = tried(world, BAD)
    assert outcome.result == "rolled_back"
    assert "Nothing was switched" in outcome.reason
    assert world.services.calls == [("shadow", "cam")]
    assert world.current == 1
    assert BAD.digest in world.state.quarantine()


def test_a_model_that_fails_after_the_switch_is_turned_back_and_held():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    outcome = tried(world, BAD)
    assert outcome.result == "rolled_back"
    assert world.current == 1
    assert world.runs() == digest(1)
    held = world.state.quarantine()[BAD.digest]
    assert held.generation == 2
    assert world.disk.exists(world.layout.manifest(2)), "the evidence is kept"


def test_a_held_digest_is_not_tried_again():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    tried(world, BAD)
    outcome = tried(world, BAD)
    assert outcome.result == "held"
    assert [r.result for r in world.receipts.all()] == ["rolled_back", "held"]


def test_without_memory_for_a_shadow_it_is_judged_in_the_service_and_says_so():
    world = a_device_at(a_generation(model=1))
    world.services.available = 1000
    outcome = tried(world)
    assert outcome.result == "committed"
    assert ("shadow", "cam") not in world.services.calls
    verdicts = {c.name: c.verdict for c in outcome.receipt.checks}
    assert verdicts.pop("shadow") == "skipped"
    assert verdicts == {"candidate.golden": "pass", "switch": "pass", "golden": "pass"}


def test_a_plan_for_another_base_is_refused_as_stale():
    world = a_device_at(a_generation(model=1))
    outcome = transact(world.env, order(world, a_deployment(GOOD, 2)))
    assert outcome.result == "refused"
    assert "Plan again" not in outcome.reason
    assert "generation 0" in outcome.reason


def test_a_refusal_of_preflight_is_reported_and_changes_nothing():
    world = a_device_at(a_generation(model=1))
    world.preparation.refusal = Refused("no space")
    outcome = tried(world)
    assert (outcome.result, outcome.reason) == ("refused", "no space")
    assert world.current == 1
    assert not world.state.quarantine()


def test_first_install_that_fails_returns_to_absent():
    world = World()
    world.checks.bad_live.add(digest(3))
    outcome = tried(world, BAD)
    assert outcome.result == "rolled_back"
    assert world.current is None
    assert world.state.committed() is None
    assert world.services.running == {}


def test_first_install_that_works_is_generation_one():
    world = World()
    assert tried(world).result == "committed"
    assert world.current == 1


def test_an_old_generation_that_is_sick_too_needs_hands():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    world.checks.on_run = lambda subject: world.services.sick_models.add(digest(1))
    outcome = tried(world, BAD)
    assert outcome.result == "needs_hands"
    assert world.state.needs_hands().transaction == outcome.receipt.transaction


def test_the_next_commit_needs_no_hands_any_more():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    world.checks.on_run = lambda subject: world.services.sick_models.add(digest(1))
    tried(world, BAD)
    world.checks.on_run = lambda subject: None
    assert tried(world).result == "committed"
    assert world.state.needs_hands() is None


def test_a_pipeline_that_did_not_change_is_not_restarted():
    world = a_device_at(a_generation(model=1))
    same = a_generation(model=1)
    two = type(same)(same.site, same.device, same.artifacts, same.pipelines, keep_generations=5)
    assert tried(world, two).result == "committed"
    assert world.services.calls == []


def test_the_same_generation_again_starts_everything_anew():
    """Somebody changed files: what the running pipelines have read of them nobody knows."""
    world = a_device_at(a_generation(model=1))
    outcome = tried(world, a_generation(model=1))
    assert outcome.result == "committed"
    assert world.services.calls == [("shadow", "cam"), ("restart", "cam")]
    assert world.current == world.state.committed().generation == 2
    assert world.state.committed().digest == a_generation(model=1).digest


def test_the_same_generation_again_that_fails_is_turned_back_and_not_held():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(1))
    outcome = tried(world, a_generation(model=1))
    assert outcome.result == "rolled_back"
    assert world.current == 1
    assert not world.state.quarantine(), "what runs is never held"


def test_a_device_that_needed_hands_proves_its_own_generation_again():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    world.checks.on_run = lambda subject: world.services.sick_models.add(digest(1))
    assert tried(world, BAD).result == "needs_hands"
    world.checks.on_run = lambda subject: None
    world.services.sick_models.clear()  # somebody mended it
    rollback(world.env, 1, "tester", "nonce-back-0001")
    outcome = transact(world.env, world.state.order())
    assert outcome.result == "committed"
    assert world.current == world.state.committed().generation == 1
    assert world.state.needs_hands() is None


def test_a_released_digest_is_tried_again():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    assert tried(world, BAD).result == "rolled_back"
    assert tried(world, BAD).result == "held"
    world.checks.bad_live.clear()  # the cause was somewhere else, and is gone
    held = quarantine.take_out(world.state, BAD.digest)
    assert "Checks failed" in held.reason
    assert tried(world, BAD).result == "committed"


def test_reasons_are_sentences_that_another_one_may_follow():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_models.add(digest(3))
    assert tried(world, BAD).reason.endswith("as the test wants. Nothing was switched.")


def test_a_service_that_restarts_during_the_soak_is_turned_back():
    world = a_device_at(a_generation(model=1))

    def crash():
        if world.services.running["cam"][1] == digest(2) and journal_of(world)[-1].step == "soak":
            world.services._run("cam")

    world.clock.on_sleep.append(crash)
    outcome = tried(world)
    assert outcome.result == "rolled_back"
    assert "restarted while it was watched" in outcome.reason


def test_a_confirmation_with_the_nonce_commits():
    world = a_device_at(a_generation(model=1))

    def confirm():
        if journal_of(world)[-1].step == "await_confirm":
            txn = world.state.txn()
            assert decide.confirm(world.env, txn.id, txn.nonce) == "commit"
            world.clock.on_sleep.clear()

    world.clock.on_sleep.append(confirm)
    assert tried(world, confirm="controller").result == "committed"


def test_without_a_confirmation_it_is_turned_back():
    world = a_device_at(a_generation(model=1))
    outcome = tried(world, confirm="controller")
    assert (outcome.result, outcome.reason) == ("rolled_back", "Nobody confirmed it in time.")


@pytest.mark.parametrize("policy", ["local", "both"])
def test_a_confirmation_before_the_checks_decides_nothing_unless_it_alone_may(policy):
    world = a_device_at(a_generation(model=1))
    refused = []

    def confirm(subject):
        txn = world.state.txn()
        if txn is not None and not refused:
            with pytest.raises(Refused) as info:
                decide.confirm(world.env, txn.id, txn.nonce)
            refused.append(info.value.summary)

    world.checks.on_run = confirm
    tried(world, confirm=policy)
    assert refused


def test_a_controller_that_alone_decides_may_confirm_while_checks_run():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(2))

    def confirm(subject):
        txn = world.state.txn()
        if txn is not None:
            decide.confirm(world.env, txn.id, txn.nonce)

    world.checks.on_run = confirm
    assert tried(world, confirm="controller").result == "committed"


def test_a_wrong_nonce_confirms_nothing():
    world = a_device_at(a_generation(model=1))
    seen = []

    def confirm():
        txn = world.state.txn()
        if txn is not None and not seen:
            with pytest.raises(Refused, match="nonce"):
                decide.confirm(world.env, txn.id, "another-nonce")
            seen.append(txn)

    world.clock.on_sleep.append(confirm)
    assert tried(world, confirm="controller").result == "rolled_back"
    assert seen


def test_a_confirmation_that_comes_again_says_the_same():
    world = a_device_at(a_generation(model=1))
    outcome = tried(world)
    transaction = outcome.receipt.transaction
    assert decide.confirm(world.env, transaction, "nonce-of-anybody") == "commit"
    with pytest.raises(Stale):
        decide.confirm(world.env, "t9-00000000", "nonce-of-anybody")


def test_the_guard_that_decides_while_checks_run_wins():
    world = a_device_at(a_generation(model=1))

    def expire(subject):
        txn = world.state.txn()
        if txn is not None:
            assert decide.revert(world.env, txn.id)

    world.checks.on_run = expire
    outcome = tried(world)
    assert outcome.result == "rolled_back"
    assert "deadline" in outcome.reason
    assert world.runs() == digest(1)


def test_a_guard_that_does_not_start_switches_nothing():
    world = a_device_at(a_generation(model=1))
    world.launcher.guards_start = False
    outcome = tried(world)
    assert outcome.result == "refused"
    assert "guard did not start" in outcome.reason
    assert world.current == 1


def test_asking_again_with_the_same_nonce_gives_the_same_transaction():
    world = a_device_at(a_generation(model=1))
    first = order(world, next_deployment(world, GOOD), NONCE)
    again = order(world, next_deployment(world, GOOD), NONCE)
    assert first == again
    assert [a for a in world.launcher.started if a[0] == "transact"] == [
        ("transact", "--transaction", first.transaction)
    ]


def test_asking_again_after_the_end_gives_the_ended_transaction():
    world = a_device_at(a_generation(model=1))
    deployment = next_deployment(world, GOOD)
    first = order(world, deployment, NONCE)
    transact(world.env, first)
    request = Request(deployment.number, 0, digest(1), "ssh", "tester", NONCE)
    assert activate(world.env, request).transaction == first.transaction
    assert len(world.receipts.all()) == 1


def test_a_request_whose_process_never_started_is_begun_anew():
    world = a_device_at(a_generation(model=1))
    first = order(world, next_deployment(world, GOOD), NONCE)
    world.clock.now_s += 60
    again = order(world, next_deployment(world, GOOD), NONCE)
    assert again.transaction != first.transaction
    assert [r.result for r in world.receipts.all()] == ["refused"]
    assert transact(world.env, again).result == "committed"


def test_a_disk_that_fills_while_the_order_is_written_leaves_no_order():
    world = a_device_at(a_generation(model=1))

    def full(name, path):
        if name == "write" and path.endswith("order.tmp"):
            raise OSError(errno.ENOSPC, "No space left on device", path)

    world.disk.before_call = full
    with pytest.raises(OSError, match="No space"):
        order(world, next_deployment(world, GOOD))
    world.disk.before_call = lambda name, path: None
    assert world.state.order() is None
    assert tried(world).result == "committed"


def test_somebody_else_is_told_who_works_here():
    world = a_device_at(a_generation(model=1))
    order(world, next_deployment(world, GOOD))
    with pytest.raises(Locked, match="tester is at work"):
        order(world, next_deployment(world, GOOD), nonce="another-nonce")


def test_an_order_with_an_old_fence_is_refused():
    world = a_device_at(a_generation(model=1))
    old = order(world, next_deployment(world, GOOD))
    world.state.write_fence(old.fence + 1)
    with pytest.raises(Locked, match="overtaken"):
        transact(world.env, old)


def test_rollback_returns_to_the_generation_committed_before():
    world = a_device_at(a_generation(model=1))
    tried(world)
    rollback(world.env, None, "tester", "nonce-back-0001")
    outcome = transact(world.env, world.state.order())
    assert outcome.result == "committed"
    assert world.current == world.state.committed().generation == 1
    assert world.state.committed().deployment == 1


def test_rollback_returns_to_what_differs_and_not_to_the_same_under_another_number():
    world = a_device_at(a_generation(model=1))
    tried(world)
    tried(world)  # the same again, as after a drift
    assert world.state.committed().history == (2, 1)
    rollback(world.env, None, "tester", "nonce-back-0001")
    assert transact(world.env, world.state.order()).result == "committed"
    assert world.current == 1


def test_rollback_below_a_floor_is_refused():
    world = a_device_at(a_generation(model=1))
    tried(world)
    world.state.write_floor({"model/digits": 2})
    rollback(world.env, 1, "tester", "nonce-back-0001")
    outcome = transact(world.env, world.state.order())
    assert outcome.result == "refused"
    assert "floor" in outcome.reason


def test_rollback_to_what_never_proved_itself_is_refused():
    world = a_device_at(a_generation(model=1))
    world.checks.bad_live.add(digest(3))
    tried(world, BAD)
    with pytest.raises(Refused, match="never committed"):
        rollback(world.env, 2, "tester", "nonce-back-0001")


def test_status_tells_phase_steps_and_outcome():
    world = a_device_at(a_generation(model=1))
    asked = order(world, next_deployment(world, GOOD))
    assert (
        status(world.env.disk, world.env.layout, world.env.clock, asked.transaction, 0)["phase"]
        == "starting"
    )
    transact(world.env, asked)
    found = status(world.env.disk, world.env.layout, world.env.clock, asked.transaction, 0)
    assert found["outcome"] == "committed"
    assert found["receipt"]["result"] == "committed"
    assert "receipt" in [s["step"] for s in found["steps"]]


def test_status_waits_no_longer_than_asked():
    world = a_device_at(a_generation(model=1))
    asked = order(world, next_deployment(world, GOOD))
    before = world.clock.now_s
    status(world.env.disk, world.env.layout, world.env.clock, asked.transaction, 3.0)
    assert 3.0 <= world.clock.now_s - before < 3.5


def test_a_plan_that_reboots_is_judged_in_the_boot_after():
    world = a_device_at(a_generation(model=1))
    content = GOOD
    asked = order(world, next_deployment(world, content, reboot_required=True, boots=2))
    world.clock.on_sleep.append(power_off_after(world, ("reboot",)))
    with pytest.raises(PowerOff):
        transact(world.env, asked)
    world.clock.on_sleep.clear()
    world.reboot("boot-2")
    recovery.recover(world.env)
    assert world.state.attempt().boots_left == 1
    assert ("transact", "--resume") in world.launcher.started
    assert resume(world.env).result == "committed"
    assert world.runs() == digest(2)
    assert world.state.attempt() is None


def test_a_plan_that_reboots_too_often_is_turned_back():
    world = a_device_at(a_generation(model=1))
    asked = order(world, next_deployment(world, GOOD, reboot_required=True, boots=2))
    world.clock.on_sleep.append(power_off_after(world, ("reboot",)))
    with pytest.raises(PowerOff):
        transact(world.env, asked)
    world.clock.on_sleep.clear()
    for boot in ("boot-2", "boot-3", "boot-4"):
        world.reboot(boot)
        recovery.recover(world.env)
    assert world.current == 1
    assert world.runs() == digest(1)
    assert "boots it was given" in world.receipts.all()[-1].reason


def test_a_full_disk_before_the_switch_is_a_refusal():
    world = a_device_at(a_generation(model=1))
    asked = order(world, next_deployment(world, GOOD))

    def full(name, path):
        if "/gen/" in path and name == "write":
            raise OSError(errno.ENOSPC, "No space left on device", path)

    world.disk.before_call = full
    outcome = transact(world.env, asked)
    assert outcome.result == "refused"
    assert "No space left" in outcome.reason
    assert world.runs() == digest(1)
    assert world.disk.names(world.layout.generations_dir) == ["1"]


def test_old_journals_go_and_the_newest_stay():
    world = a_device_at(a_generation(model=1))
    for number in range(60):
        world.disk.write_file(f"{world.layout.journal_dir}/t{-1}-{number:08x}.jsonl", b"")
    tried(world)
    kept = world.disk.names(world.layout.journal_dir)
    assert len(kept) == 50
    assert any(name.startswith("t1-") for name in kept)


def test_the_nonce_must_prove_something():
    world = a_device_at(a_generation(model=1))
    with pytest.raises(Exception, match="nonce"):
        activate(world.env, Request(2, 0, digest(1), "ssh", "tester", "short"))


class PowerOff(Exception):
    pass


def power_off_after(world, call):
    def act():
        if call in world.services.calls:
            raise PowerOff

    return act


def journal_of(world):
    from edgeform_device.journal import Journal

    txn = world.state.order()
    return Journal(world.disk, world.layout, world.clock, txn.transaction).lines()
