"""The transaction on devices with a real systemd: services, guard, boot, power."""

import io
import zipfile

import pytest
from support.real_device import swapped_labels, wait_for
from support.systemd_device import NONCE, SystemdDevice, binds

from edgeform.build.tool import tool_bytes

pytestmark = pytest.mark.device


@pytest.fixture
def real(fresh_device, ssh, tmp_path):
    return SystemdDevice(fresh_device(binds=binds()), ssh, tmp_path)


def test_a_good_model_is_committed_and_a_wrong_one_turned_back(real):
    first = real.apply("1.0.0")
    assert first["outcome"] == "committed", (
        first["reason"] + real.sh("sudo journalctl -n 60 --no-pager").out
    )
    assert real.service()["ActiveState"] == "active"
    bad = real.apply("1.1.0", spoil=swapped_labels)
    assert bad["outcome"] == "rolled_back", bad
    assert real.serving()["generation"] == 1
    print(first["receipt"]["seconds"])


def test_after_a_reboot_recovery_runs_what_is_committed(real, lab):
    assert real.apply("1.0.0")["outcome"] == "committed"
    lab.reboot(real.lab_device.name)
    wait_for(lambda: real.serving().get("phase") == "ready", "the pipeline to serve again")
    assert real.serving()["generation"] == 1
    said = real.sh("systemctl show edgeform-recover -p ActiveState,Result")
    assert sorted(said.out.split()) == ["ActiveState=active", "Result=success"]


def test_a_cut_before_the_confirmation_boots_into_the_old_generation(real, lab):
    assert real.apply("1.0.0")["outcome"] == "committed"
    deployment = real.offer("1.1.0", confirm="controller", confirm_s=50.0)
    transaction = real.activate(deployment)
    assert real.wait(transaction)["phase"] == "await_confirm"
    assert real.serving()["generation"] == 2
    lab.cut(real.lab_device.name)
    lab.boot(real.lab_device.name)
    lab.wait_ready(real.lab_device.name)
    found = real.wait(transaction)
    assert found["outcome"] == "rolled_back", found
    assert "restarted before the decision" in found["reason"]
    assert real.serving()["generation"] == 1
    state = real.ask("state")
    assert (state["generation"]["current"], state["generation"]["committed"]) == (1, 1)
    assert [q["transaction"] for q in state["quarantine"]] == [transaction]


def test_a_confirmation_over_a_new_connection_commits_and_survives_a_cut(real, lab):
    assert real.apply("1.0.0")["outcome"] == "committed"
    transaction = real.activate(real.offer("1.1.0", confirm="both"))
    assert real.wait(transaction)["phase"] == "await_confirm"
    assert real.ask("confirm", transaction=transaction, nonce=NONCE)["decided"] == "commit"
    lab.cut(real.lab_device.name)
    lab.boot(real.lab_device.name)
    lab.wait_ready(real.lab_device.name)
    assert real.wait(transaction)["outcome"] == "committed"
    wait_for(lambda: real.serving().get("phase") == "ready", "the pipeline to serve again")
    assert real.serving()["generation"] == 2


def test_a_killed_guard_comes_back_and_still_turns_back_a_killed_transaction(real):
    assert real.apply("1.0.0")["outcome"] == "committed"
    transaction = real.activate(real.offer("1.1.0", confirm="both", soak_s=30.0))
    wait_for(lambda: step(real, transaction) == "soak", "the soak to begin")
    guard, work = f"edgeform-guard-{transaction}", f"edgeform-transaction-{transaction}"
    before = real.sh(f"systemctl show {guard} -p MainPID --value").out.strip()
    real.sh(f"sudo kill -9 {before}")
    wait_for(
        lambda: (
            real.sh(f"systemctl show {guard} -p MainPID --value").out.strip() not in ("0", before)
        ),
        "the guard to be back",
    )
    pid = real.sh(f"systemctl show {work} -p MainPID --value").out.strip()
    real.sh(f"sudo kill -9 {pid}")
    found = real.wait(transaction)
    assert found["outcome"] == "rolled_back", found
    assert "process ended before a decision" in found["reason"]
    assert real.serving()["generation"] == 1
    wait_for(lambda: "inactive" in real.sh(f"systemctl is-active {guard}").out, "the guard to end")


def test_pipelines_run_as_their_own_user_and_cannot_write_elsewhere(fresh_device, ssh, tmp_path):
    real = SystemdDevice(fresh_device(binds=binds()), ssh, tmp_path, user="edge")
    assert real.apply("1.0.0")["outcome"] == "committed"
    service = real.service()
    assert service["User"] == "edge"
    status = real.sh(f"sudo cat /proc/{service['MainPID']}/status").out
    assert "NoNewPrivs:\t1" in status
    said = real.sh(f"sudo nsenter -t {service['MainPID']} -m touch /var/lib/edgeform/state/x")
    assert "Read-only file system" in said.err


def test_a_plan_that_reboots_is_judged_in_the_next_boot(real, lab):
    assert real.apply("1.0.0")["outcome"] == "committed"
    boot = lab.boot_id(real.lab_device.name)
    deployment = real.offer("1.1.0", reboot_required=True, boots=2, deadline_s=120.0)
    transaction = real.activate(deployment)
    wait_for(lambda: lab.boot_id(real.lab_device.name) not in ("", boot), "another boot", 90)
    lab.wait_ready(real.lab_device.name)
    found = real.wait(transaction)
    assert found["outcome"] == "committed", found
    assert real.serving()["generation"] == 2


def step(real, transaction):
    return real.ask("status", "--transaction", transaction)["phase"]


def test_a_tool_that_cannot_recover_at_boot_is_replaced_by_the_one_before(real, lab):
    assert real.apply("1.0.0")["outcome"] == "committed"
    # It passes its self-test and its rehearsal, and fails when it matters.
    broken = tool_with(
        "edgeform_device/recovery.py",
        "\n_whole = recover\n"
        "def recover(env, *, is_dry_run=False):\n"
        "    assert is_dry_run, 'as planned'\n"
        "    return _whole(env, is_dry_run=True)\n",
    )
    old = real.ask("state")["tool"]["digest"]
    assert real.apply("1.1.0", tool=broken)["outcome"] == "committed"
    assert real.ask("state")["tool"]["digest"] != old
    lab.reboot(real.lab_device.name)
    wait_for(lambda: real.serving().get("phase") == "ready", "the pipeline to serve again")
    state = real.ask("state")
    assert state["tool"]["digest"] == old
    assert [q["transaction"] for q in state["quarantine"]] == ["tool"]
    assert real.serving()["generation"] == 2


def tool_with(module, source):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(tool_bytes())) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content + source.encode() if name == module else content)
    return out.getvalue()


def test_a_new_model_is_swapped_in_the_unit_that_runs_and_a_killed_one_comes_back_with_it(real):
    assert real.apply("1.0.0")["outcome"] == "committed"
    before = real.service()["MainPID"]
    outcome = real.apply("1.1.0")
    assert outcome["outcome"] == "committed", outcome
    switch = {c["name"]: c for c in outcome["receipt"]["checks"]}["switch"]
    assert switch["measured"]["down_s"] == 0.0, switch
    assert real.service()["MainPID"] == before
    assert real.serving()["generation"] == 2
    real.sh(f"sudo kill -9 {before}")
    wait_for(lambda: real.service()["MainPID"] not in ("0", before), "the unit to come back")
    wait_for(lambda: real.serving().get("phase") == "ready", "the pipeline to serve again")
    assert real.serving()["generation"] == 2
    assert real.ask("state")["receipts"]["last_seq"] == 2


def test_an_orderly_reboot_is_no_unclean_boot_and_a_cut_is_one(real, lab):
    assert real.apply("1.0.0")["outcome"] == "committed"
    lab.reboot(real.lab_device.name)
    wait_for(lambda: real.serving().get("phase") == "ready", "the pipeline to serve again")
    assert real.ask("state")["vitals"]["unclean_boots"] == 0
    lab.cut(real.lab_device.name)
    lab.boot(real.lab_device.name)
    lab.wait_ready(real.lab_device.name)
    wait_for(lambda: real.serving().get("phase") == "ready", "the pipeline to serve again")
    assert real.ask("state")["vitals"]["unclean_boots"] == 1
