"""Nothing of a lab is left: not after `down`, and not after its owner was killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeform.lab.cgroup import groups_of_lab, mountinfo, mounts_of
from edgeform.lab.device import DeviceOptions
from edgeform.lab.doctor import doctor, why_not_nspawn
from edgeform.lab.execution import wait_until
from edgeform.lab.leftovers import REGISTRY
from edgeform.lab.network import lab_id_of
from edgeform.lab.nspawn import NspawnLab

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(
        bool(why_not_nspawn(doctor(os.environ))), reason="systemd devices are not possible here"
    ),
]

KILLED = """
import os, sys, time
from pathlib import Path
from edgeform.lab.device import DeviceOptions
from edgeform.lab.nspawn import NspawnLab
lab = NspawnLab(Path(sys.argv[1]), environment=os.environ, owner_pid=os.getpid())
lab.up(("one",))
lab.add("two", DeviceOptions(store_mb=8))
print("up", flush=True)
time.sleep(600)
"""


def traces(directory: Path) -> dict[str, object]:
    """Everything by which a lab in this directory could still be noticed."""
    lab_id = lab_id_of(str(directory.resolve()))
    mentioning = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (entry / "cmdline").read_bytes():
                mentioning.append(entry.name)
        except OSError:
            continue
    backing = Path("/sys/block").glob("loop*/loop/backing_file")
    routes = subprocess.run(("ip", "-j", "link"), capture_output=True, check=True).stdout
    return {
        "namespace": Path(f"/run/netns/edgeform-lab-{lab_id}").exists(),
        "mounts": str(directory) in mountinfo(),
        "cgroups": [str(g) for g in groups_of_lab(mounts_of(mountinfo()), lab_id) if g.exists()],
        "processes": [pid for pid in mentioning if pid != str(os.getpid())],
        "loops": [path for path in backing if str(directory) in path.read_text()],
        "interfaces": [
            link["ifname"]
            for link in json.loads(routes)
            if link.get("link_netnsid") is not None and link["ifname"] == _interface(directory)
        ],
        "registered": (REGISTRY / f"{lab_id}.json").exists(),
        "files": directory.exists(),
    }


_INTERFACES: dict[Path, str] = {}


def _interface(directory: Path) -> str:
    state = directory / "lab.json"
    if state.exists():
        _INTERFACES[directory] = f"eflab{json.loads(state.read_text())['subnet']}"
    return _INTERFACES.get(directory, "")


CLEAN = {
    "namespace": False,
    "mounts": False,
    "cgroups": [],
    "processes": [],
    "loops": [],
    "interfaces": [],
    "registered": False,
    "files": False,
}


def test_down_leaves_nothing(tmp_path):
    directory = tmp_path / "short-lived"
    lab = NspawnLab(directory, environment=os.environ, owner_pid=os.getpid())
    lab.up(("one", "two"))
    lab.add("three", DeviceOptions(store_mb=8))
    lab.cut("two")
    present = traces(directory)
    assert present["namespace"]
    assert present["processes"]
    assert present["interfaces"]
    assert present["registered"]
    lab.down()
    assert traces(directory) == CLEAN
    lab.down()


def test_a_removed_device_leaves_nothing_and_its_name_is_free_again(lab):
    for _ in range(2):
        lab.add("guest")
        assert lab.boot_id("guest")
        lab.remove("guest")
    assert "guest" not in {device.name for device in lab.devices()}
    assert not (lab.known_hosts.parent / "devices" / "guest").exists()
    assert "guest" not in lab.known_hosts.read_text()


def test_the_next_lab_removes_what_a_killed_run_left(tmp_path):
    directory = tmp_path / "killed"
    with subprocess.Popen(
        (sys.executable, "-c", KILLED, str(directory)), stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline() == "up\n"
        os.kill(owner.pid, signal.SIGKILL)
    left = traces(directory)
    assert left["namespace"]
    assert left["processes"]
    assert left["interfaces"]
    following = NspawnLab(tmp_path / "next", environment=os.environ, owner_pid=os.getpid())
    try:
        following.up(("one",))
        # Its loop device goes with the last process that had it mounted.
        wait_until(lambda: traces(directory) == CLEAN, what="a clean host", timeout_s=10)
    finally:
        following.down()


def test_a_lab_that_cannot_start_leaves_nothing(tmp_path):
    directory = tmp_path / "broken"
    lab = NspawnLab(directory, environment=os.environ, owner_pid=os.getpid())
    with pytest.raises(Exception, match="already"):
        lab.up(("same", "same"))
    assert traces(directory) == CLEAN
