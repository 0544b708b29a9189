"""What must be refused before anything is touched: old plans, busy devices, full disks, bad ways in."""

from pathlib import Path

import pytest
from support.site import PREFIX, SiteOnDevices

from edgeform.lab.device import DeviceOptions, SudoRule

pytestmark = pytest.mark.device


def test_a_plan_applied_once_is_stale(site, tmp_path):
    site.want("one")
    file = str(tmp_path / "plan.json")
    assert site.plan("-l", "one", "--out", file).exit_code == 0
    first = site.edgeform("apply", file, "--site", str(site.folder), "--yes")
    assert first.exit_code == 0, first.text
    before = site.seen("one")
    again = site.edgeform("apply", file, "--site", str(site.folder), "--yes")
    assert again.exit_code == 6, again.text
    assert "edgeform plan" in again.err
    assert site.seen("one") == before


def test_a_plan_for_a_site_that_moved_is_stale(site, tmp_path):
    before = site.seen("one")
    site.want("one")
    file = str(tmp_path / "plan.json")
    assert site.plan("-l", "one", "--out", file).exit_code == 0
    site.want("one")
    done = site.edgeform("apply", file, "--site", str(site.folder), "--yes")
    assert done.exit_code == 6, done.text
    assert site.seen("one") == before


def test_the_device_itself_refuses_a_plan_that_another_apply_overtook(site, tmp_path):
    """Both plans were made for the same base, and both controllers saw it: only the device can tell."""
    site.want("one", soak_s=3)
    winner = site.start_apply("-l", "one")
    winner.wait_for(lambda: site.is_in_transaction("one"), "the switch")
    other = SiteOnDevices(
        folder=site.folder, lab=site.lab, devices=site.devices, choices=dict(site.choices)
    )
    loser = other.apply("-l", "one")
    won = winner.end()
    assert won.exit_code == 0, won.text
    assert loser.exit_code == 7, loser.text
    assert "is at work on this device with transaction" in loser.out
    assert "Since" in loser.out
    site.assert_serving("one", generation=site.seen("one").current)


def test_without_a_terminal_nothing_is_applied_unasked(site):
    before = site.seen("one")
    site.want("one")
    done = site.edgeform("apply", str(site.folder), "-l", "one")
    assert done.exit_code == 10, done.text
    assert "--yes" in done.err
    assert site.seen("one") == before


def test_wrong_ways_in_are_named_and_the_others_go_on(site):
    before = {name: site.seen(name) for name in site.devices}
    site.want("one")
    site.want("two")
    site.reconnect("one", user="nobody-here")
    done = site.apply()
    assert done.exit_code == 9, done.text
    assert "one" in done.err
    assert "uthenticat" in done.out + done.err, done.text
    assert site.seen("one") == before["one"]
    after = site.seen("two")
    assert after.current > before["two"].current
    site.assert_serving("two", generation=after.current)


@pytest.mark.parametrize("known", ["wrong", "none"])
def test_a_host_key_that_is_not_the_pinned_one_ends_the_conversation(site, known):
    before = site.seen("one")
    site.want("one")
    pinned = site.folder / "known_hosts"
    lines = pinned.read_text().splitlines()
    mine = next(line for line in lines if line.startswith(f"{site.devices['one'].host} "))
    other = next(line for line in lines if line != mine)
    impostor = f"{site.devices['one'].host} {other.split(' ', 1)[1]}"
    pinned.write_text("\n".join([other, impostor] if known == "wrong" else [other]) + "\n")
    done = site.apply("-l", "one")
    assert done.exit_code == 9, done.text
    assert "host key" in (done.out + done.err).lower(), done.text
    assert site.seen("one") == before


def test_a_device_that_is_off_is_unreachable_and_nothing_waits_for_it(site):
    site.want("one")
    site.want("two")
    site.lab.cut("one")
    done = site.apply()
    site.lab.boot("one")
    assert done.exit_code == 9, done.text
    assert "one" in done.out
    assert done.seconds < 60
    site.assert_serving("two", generation=site.seen("two").current)


def test_devices_that_cannot_be_worked_on_are_told_apart(site_with):
    odd = site_with("odd", DeviceOptions(sudo=SudoRule.NONE))
    done = odd.apply("-l", "odd")
    assert done.exit_code == 9, done.text
    assert "sudo" in done.out + done.err
    assert not odd.file("odd").exists() or not list(odd.file("odd").iterdir())


@pytest.mark.parametrize("python", ["none", "3.6"])
def test_a_device_without_a_usable_python_is_blocked_with_a_sentence(site_with, python):
    if python == "3.6":
        found = sorted(Path.home().joinpath(".pyenv", "versions").glob("3.[67].*"))
        if not found:
            pytest.skip("no Python 3.6 or 3.7 of pyenv on this machine")
        python = str(found[0])
    odd = site_with("odd", DeviceOptions(python=python))
    done = odd.plan("-l", "odd")
    assert done.exit_code == 3, done.text
    assert "Python" in done.out
    assert "Traceback" not in done.out + done.err
    applied = odd.apply("-l", "odd")
    assert applied.exit_code == 3, applied.text
    assert not odd.file("odd", "bin").exists()


def test_a_store_too_small_for_the_closure_is_refused_before_anything_is_switched(site_with):
    odd = site_with("odd", DeviceOptions(store_mb=64))
    done = odd.apply("-l", "odd")
    assert done.exit_code in (3, 9), done.text
    assert "space" in done.text.lower() or "bytes free" in done.text, done.text
    assert "Traceback" not in done.text
    said = odd.tool("odd", "state")
    assert said["ok"], said
    assert not said["generation"]["current"]


def test_a_read_only_store_is_said_to_be_one(site):
    before = site.seen("two")
    site.want("two")
    site.on("two", "mount", "--bind", PREFIX, PREFIX)
    site.on("two", "mount", "-o", "remount,bind,ro", PREFIX)
    try:
        done = site.apply("-l", "two")
    finally:
        site.on("two", "umount", PREFIX)
    assert done.exit_code in (3, 9, 13), done.text
    assert "ead-only" in done.text, done.text
    assert "Traceback" not in done.text
    site.assert_serving("two", generation=before.current)
