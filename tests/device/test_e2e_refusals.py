"""What must be refused before anything is touched: old plans, busy devices, full disks, bad ways in."""

from pathlib import Path

import pytest
from support.site import PREFIX

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


def test_who_is_at_work_is_named_by_the_plan_and_by_the_device(site, tmp_path):
    """Where both controllers looked before either began, only the device can tell them apart."""
    before = site.seen("one")
    site.want("one", soak_s=8)
    file = str(tmp_path / "plan.json")
    assert site.plan("-l", "one", "--out", file).exit_code == 0
    winner = site.start("apply", file, "--site", str(site.folder), "--yes")
    winner.wait_for(lambda: site.is_in_transaction("one"), "the switch")
    loser = site.start("apply", file, "--site", str(site.folder), "--yes")
    planned = site.plan("-l", "one")
    refused, won = loser.end(), winner.end()
    assert won.exit_code == 0, won.text
    assert planned.exit_code == 7, planned.text
    assert "under way" in planned.out
    assert "@" in planned.out
    assert refused.exit_code == 7, refused.text
    assert "is at work on this device with transaction" in refused.out
    assert "Since" in refused.out
    after = site.seen("one")
    assert after.current > before.current
    site.assert_serving("one", generation=after.current)


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


def test_a_device_whose_sudo_refuses_is_blocked_with_a_remedy(site_with):
    odd = site_with("odd", DeviceOptions(sudo=SudoRule.NONE))
    done = odd.apply("-l", "odd")
    assert done.exit_code == 3, done.text
    assert "sudo on odd did not run the command" in done.out
    assert "NOPASSWD" in done.out
    assert not odd.file("odd", "bin").exists()


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


def test_a_store_too_small_for_the_closure_is_blocked_before_a_byte_is_sent(site_with):
    odd = site_with("odd", DeviceOptions(store_mb=64))
    done = odd.apply("-l", "odd")
    assert done.exit_code == 3, done.text
    assert "The change needs" in done.out
    assert "edgeform gc" in done.out
    assert odd.on("odd", "find", PREFIX, "-name", "edgeform-device") == ""


def test_a_disk_that_fills_up_meanwhile_refuses_and_the_old_generation_serves(site):
    """The planner saw room; then somebody else took it all, file system and reserve."""
    before = site.seen("one")
    site.want("one")
    file = f"{PREFIX}/incoming/metadata"
    site.on("one", "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", file)
    try:
        done = site.apply("-l", "one")
    finally:
        site.on("one", "umount", file)
    assert done.exit_code == 3, done.text
    assert "full" in done.out.lower() or "no space" in done.out.lower(), done.text
    assert "unexpectedly" not in done.text
    site.assert_serving("one", generation=before.current)
    again = site.apply("-l", "one")
    assert again.exit_code == 0, again.text


def test_a_read_only_store_is_said_to_be_one(site):
    before = site.seen("two")
    site.want("two")
    site.on("two", "mount", "--bind", PREFIX, PREFIX)
    site.on("two", "mount", "-o", "remount,bind,ro", PREFIX)
    try:
        done = site.apply("-l", "two")
    finally:
        site.on("two", "umount", PREFIX)
    assert done.exit_code == 3, done.text
    assert "The disk refused: Read-only file system" in done.out
    assert "unexpectedly" not in done.text
    site.assert_serving("two", generation=before.current)
