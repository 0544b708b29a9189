"""Power is taken at each step of an apply: after the next boot the old or the new generation serves, at once."""

import pytest
from support.site import wait_for

pytestmark = pytest.mark.device


def cut_and_boot(site, name: str) -> None:
    site.lab.cut(name)
    site.lab.boot(name)


def at_rest(site, name: str):
    """What the device says when its recovery is over; recovery runs before sshd is asked for anything."""
    wait_for(lambda: site.seen(name).healthy and not site.seen(name).transaction, "it to serve")
    return site.seen(name)


def test_power_lost_during_the_upload_costs_only_the_upload(site):
    before = site.seen("one")
    site.want("one", "heavy-3")
    running = site.start_apply("-l", "one")
    running.wait_for(lambda: site.is_uploading("one"), "the upload")
    cut_and_boot(site, "one")
    done = running.end()
    assert done.exit_code == 0, done.text  # the controller found it again and sent the rest
    after = at_rest(site, "one")
    assert after.current > before.current
    site.assert_serving("one", generation=after.current)


def test_power_lost_during_the_shadow_gate_leaves_the_old_one(site):
    before = site.seen("two")
    site.want("two")
    running = site.start_apply("-l", "two")
    running.wait_for(lambda: site.phase("two") == "shadow", "the shadow gate")
    cut_and_boot(site, "two")
    at_rest(site, "two")
    site.assert_serving("two", generation=before.current)
    done = running.end()
    assert done.exit_code in (3, 5), done.text
    assert "Nothing was switched" in done.out
    receipt = site.assert_receipts_home("two")[-1]
    assert receipt["result"] == "refused", receipt


def test_power_lost_after_the_switch_boots_into_the_old_one(site):
    before = site.seen("one")
    site.want("one", soak_s=5)
    running = site.start_apply("-l", "one")
    running.wait_for(lambda: site.phase("one") == "soak", "the soak")
    cut_and_boot(site, "one")
    at_rest(site, "one")
    site.assert_serving("one", generation=before.current)
    done = running.end()
    assert done.exit_code == 5, done.text
    assert "restarted before the decision" in done.out
    assert site.assert_receipts_home("one")[-1]["result"] == "rolled_back"


def test_power_lost_right_after_the_decision_keeps_the_new_one(site):
    before = site.seen("two")
    site.want("two")
    running = site.start_apply("-l", "two")
    committed = site.file("two", "state", "committed").read_bytes()
    decided = site.file("two", "state", "txn.commit")
    running.wait_for(
        lambda: (
            decided.exists() or site.file("two", "state", "committed").read_bytes() != committed
        ),
        "the decision",
    )
    cut_and_boot(site, "two")
    after = at_rest(site, "two")
    assert after.current > before.current
    site.assert_serving("two", generation=after.current)
    done = running.end()
    assert done.exit_code == 0, done.text
    assert site.assert_receipts_home("two")[-1]["result"] == "committed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["lease", "blobs", "txn", "switch", "services", "checks", "commit"]
)
def test_a_reboot_at_any_step_ends_on_the_old_or_the_new_one(site, step):
    before = site.seen("one")
    site.want("one", "digits" if step in ("blobs", "services") else "better", soak_s=1)
    running = site.start_apply("-l", "one")
    reached = order_of(step)
    running.wait_for(lambda: order_of(site.phase("one")) >= reached, f"step {step}")
    site.lab.reboot("one")
    after = at_rest(site, "one")
    done = running.end()
    expected = (
        {before.current: (3, 5), after.current: (0,)}
        if after.current != before.current
        else {before.current: (3, 5)}
    )
    assert done.exit_code in expected[after.current], done.text
    site.assert_serving("one", generation=after.current)
    # A reboot right after the outcome leaves the receipt on the device; whoever asks next gets it.
    asked = site.edgeform("receipts", str(site.folder), "one")
    assert asked.exit_code == 0, asked.text
    site.assert_receipts_home("one")


STEPS = (
    *("lease", "guard", "approve", "preflight", "blobs", "generation", "derive", "shadow"),
    *("shadow_end", "txn", "switch", "services", "checks", "checks_end", "soak", "await_confirm"),
    *("commit", "revert", "floors", "receipt", "end"),
)


def order_of(step: str) -> int:
    return STEPS.index(step) if step in STEPS else -1
