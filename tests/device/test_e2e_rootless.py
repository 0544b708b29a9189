"""The same line on unprivileged devices: another prefix, another user than root, and no systemd."""

import json
from pathlib import Path

import pytest
from support.site import copy_locked, wait_for
from support.small_site import SmallSite

from edgeform.lab.faults import Fault


@pytest.fixture
def small(rootless_lab, locked_site, tmp_path):
    made = SmallSite(folder=copy_locked(locked_site, tmp_path / "site"), lab=rootless_lab)
    made.want("digits")
    return made


def test_install_update_wrong_model_and_a_lost_connection_without_root_or_systemd(small):
    first = small.run("apply", "--yes")
    assert first.exit_code == 0, first.text
    again = small.run("apply", "--yes")
    assert (again.exit_code, "0 to change" in again.out) == (0, True), again.text
    before = small.generations()
    small.want("nan-weights")
    wrong = small.run("apply", "--yes")
    assert wrong.exit_code == 5, wrong.text
    assert "shadow.golden: fail" in wrong.err
    assert small.generations() == before
    checked = small.run("check", "--json")
    assert checked.exit_code == 0, checked.text
    assert {json.loads(line)["verdict"] for line in checked.out.splitlines()} == {"pass"}
    small.want("better")
    for device in small.lab.devices():
        small.lab.set_fault(device.name, Fault(kill_after_commands=4))
    lossy = small.run("apply", "--yes")
    assert lossy.exit_code == 0, lossy.text
    assert "connection lost" in lossy.err
    assert all(after > before[name] for name, after in small.generations().items())


def test_a_rootless_device_that_recovers_at_boot_serves_what_it_confirmed(small):
    """Without systemd somebody has to start recovery: here the rc.local of a device that has one."""
    applied = small.run("apply", "--yes", "-l", "small-1")
    assert applied.exit_code == 0, applied.text
    device = next(d for d in small.lab.devices() if d.name == "small-1")
    start = Path(device.root, "etc", "rc.local")
    start.parent.mkdir(parents=True, exist_ok=True)
    start.write_text(f"#!/bin/sh\nexec {device.prefix}/bin/edgeform-device recover\n")
    start.chmod(0o755)
    small.lab.cut("small-1")
    assert small.run("status", "-l", "small-1").exit_code == 9
    small.lab.boot("small-1")
    wait_for(lambda: small.run("check", "-l", "small-1").exit_code == 0, "it to serve again")
