"""What somebody changed on a device behind edgeform's back is found, named and put right."""

import json

import pytest
from support.serving import serving
from support.site import PIPELINE, PREFIX, wait_for

pytestmark = pytest.mark.device


def model_folder(site, name: str) -> str:
    found = site.seen(name).raw["generation"]["manifest"]["pipelines"][0]["model"]
    return f"{PREFIX}/trees/{found.split(':')[1]}"


def settle(site, name: str, **more: object):
    """The device confirms what its site wants of it; whatever the test before left."""
    site.want(name, **more)
    done = site.apply("-l", name)
    assert done.exit_code == 0, done.text
    return site.seen(name)


def reasons(site, name: str) -> set[str]:
    """Why a plan would do what it would do to a device."""
    said = site.plan("-l", name, "--json")
    assert said.exit_code == 0, said.text
    device = json.loads(said.out)
    return {change["reason"] for change in device["changes"]}


def test_a_changed_file_is_put_back_by_the_same_generation_with_another_number(site):
    """The labels were swapped and the service was restarted with them: mending the file is not enough."""
    before = settle(site, "one")
    unit = f"edgeform-pipeline@{PIPELINE}"
    labels = f"{model_folder(site, 'one')}/labels.txt"
    swap = f"cp -p {labels} /var/lib/kept; sed -i 's/3/x/; s/8/3/; s/x/8/' {labels}"
    site.on("one", "sh", "-c", f"{swap}; systemctl restart {unit}")
    drifted = site.edgeform("drift", str(site.folder), "one")
    assert drifted.exit_code == 2, drifted.text
    assert "labels.txt" in drifted.out
    assert site.edgeform("check", str(site.folder), "one").exit_code == 2, "it answers wrongly"
    assert reasons(site, "one") == {"drift"}
    done = site.apply("-l", "one")
    assert done.exit_code == 0, done.text
    after = site.seen("one")
    assert (after.digest, after.current > before.current) == (before.digest, True)
    site.assert_serving("one", generation=after.current)
    assert site.on("one", "cmp", "/var/lib/kept", labels) == ""
    clean = site.edgeform("drift", str(site.folder), "one")
    assert clean.exit_code == 0, clean.text
    assert site.plan("-l", "one", "--detailed-exitcode").exit_code == 0


def test_a_stopped_service_is_started_by_the_same_generation(site):
    before = settle(site, "two")
    unit = f"edgeform-pipeline@{PIPELINE}"
    site.on("two", "systemctl", "stop", unit)
    drifted = site.edgeform("drift", str(site.folder), "two")
    assert (drifted.exit_code, unit in drifted.out) == (2, True), drifted.text
    done = site.apply("-l", "two")
    assert done.exit_code == 0, done.text
    after = site.assert_serving("two", generation=site.seen("two").current)
    assert after.digest == before.digest


def test_a_generation_that_somebody_went_back_to_is_drift_for_a_plan(site):
    """At the device, without this controller: its receipt is not here yet, and the spec did not change."""
    wanted = settle(site, "two")
    asked = json.dumps({"who": "somebody at the device"}).encode()
    begun = site.tool("two", "rollback", stdin=asked)
    ended = site.tool("two", "status", "--transaction", begun["transaction"], "--wait", "60")
    assert ended["outcome"] == "committed", ended
    wait_for(lambda: not site.seen("two").transaction, "it to rest")
    assert reasons(site, "two") == {"drift"}
    said = site.edgeform("drift", str(site.folder), "two", "--json")
    assert json.loads(said.out)["words"] == ["pending"], said.text
    done = site.apply("-l", "two")
    assert done.exit_code == 0, done.text
    assert site.seen("two").digest == wanted.digest
    # What edgeform itself did is no drift: the spec has to change, too.
    back = site.edgeform("rollback", str(site.folder), "two", "--yes")
    assert back.exit_code == 0, back.text
    assert "which was kept" in back.out
    assert reasons(site, "two") == {"spec_changed"}


def test_a_taken_port_turns_back_at_once_and_is_tried_again_when_released(site):
    before = site.seen("one")
    squatter = ("systemd-run", "--unit=squatter", "--collect", "python3", "-m", "http.server")
    site.on("one", *squatter, "8099")
    site.want("one", "better", port=8099)
    done = site.apply("-l", "one")
    assert done.exit_code == 5, done.text
    assert "cannot serve at 127.0.0.1:8099: another program" in done.out, done.text
    assert done.seconds < 90, done.text  # the deadline of the transaction: it did not wait for that
    site.assert_serving("one", generation=before.current)
    site.on("one", "systemctl", "stop", "squatter")
    held = site.plan("-l", "one")
    assert (held.exit_code, "held" in held.out) == (3, True), held.text
    drift = site.edgeform("drift", str(site.folder), "one")
    assert (drift.exit_code, "held" in drift.out) == (2, True), drift.text
    (digest,) = set(site.seen("one").quarantine) - set(before.quarantine)
    released = site.edgeform("release", str(site.folder), "one", digest)
    assert released.exit_code == 0, released.text
    again = site.apply("-l", "one")
    assert again.exit_code == 0, again.text
    site.assert_serving("one", generation=site.seen("one").current)


def install_own_timer(site, name: str) -> str:
    """The units of `drift schedule --on-device`, brought to the device by hand as the page says; the service."""
    folder = site.folder / "units"
    said = site.edgeform(
        "drift", "schedule", "--systemd", "--on-device", "--at", "02:15", "--out", str(folder)
    )
    assert said.exit_code == 0, said.text
    units = sorted(folder.iterdir())
    for unit in units:
        site.on(name, "sh", "-c", f"cat > /etc/systemd/system/{unit.name}", stdin=unit.read_bytes())
    timer = next(u.name for u in units if u.suffix == ".timer")
    site.on(name, "systemctl", "daemon-reload")
    site.on(name, "systemctl", "enable", "--now", timer)
    assert timer in site.on(name, "systemctl", "list-timers", "--all", "--plain", "--no-legend")
    return timer.replace(".timer", ".service")


def kept(site, name: str) -> list[dict]:
    said = site.edgeform("drift", str(site.folder), name, "--on-device", "--json")
    return [json.loads(line) for line in said.out.splitlines()]


def test_an_isolated_device_finds_drift_by_its_own_timer_and_tells_on_the_next_visit(site):
    settle(site, "one")
    service = install_own_timer(site, "one")
    site.on("one", "systemctl", "start", service)
    assert kept(site, "one")[-1]["drift"] == []
    labels = f"{model_folder(site, 'one')}/labels.txt"
    site.on("one", "sh", "-c", f"sed -i 's/3/x/' {labels}")
    site.on("one", "systemctl", "start", service)
    state = site.on("one", "sh", "-c", f"systemctl is-failed {service} || true")
    assert state.strip() != "failed", "what is found is no failure of the unit"
    visited = site.edgeform("drift", str(site.folder), "one", "--on-device")
    assert (visited.exit_code, "labels.txt" in visited.out) == (2, True), visited.text
    done = site.apply("-l", "one")
    assert done.exit_code == 0, done.text
    site.on("one", "systemctl", "start", service)
    assert kept(site, "one")[-1]["drift"] == []


def test_a_timer_that_meets_an_apply_under_way_finds_nothing_and_disturbs_nothing(site, tmp_path):
    """Both timers: the controller's run, the device's own; and the live page, which follows the apply."""
    before = settle(site, "one", pipeline="better")
    service = install_own_timer(site, "one")
    found_before = len(kept(site, "one"))
    site.want("one", "better", soak_s=6)
    with serving(site.folder, tmp_path / "run", "--every", "5", **site.environment) as server:
        running = site.start_apply("-l", "one")
        running.wait_for(lambda: site.is_in_transaction("one"), "the switch")
        looked = site.edgeform("drift", str(site.folder), "one", "--json")
        under_way = site.is_in_transaction("one")
        site.on("one", "systemctl", "start", service)
        server.shows("1 touched")
        done = running.end()
        assert done.exit_code == 0, done.text
        server.shows("1 committed")
        assert server.end()[0] == 0
        assert "Traceback" not in server.err
    assert under_way, "the look was meant to meet the transaction"
    assert looked.exit_code == 0, looked.text
    (one,) = [json.loads(line) for line in looked.out.splitlines()]
    assert one["words"] == ["pending"], looked.text
    assert "has a transaction under way" in one["notes"][0]
    entries = kept(site, "one")
    assert all(not entry["drift"] for entry in entries[found_before:]), entries
    after = site.assert_serving("one", generation=site.seen("one").current)
    assert after.current > before.current
    clean = site.edgeform("drift", str(site.folder), "one")
    assert clean.exit_code == 0, clean.text
