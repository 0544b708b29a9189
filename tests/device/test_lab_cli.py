"""`edgeform lab` as its user meets it: a lab outlives the command that started it."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgeform.lab.doctor import doctor, why_not_nspawn

KINDS = [
    "rootless",
    pytest.param(
        "nspawn",
        marks=[
            pytest.mark.device,
            pytest.mark.skipif(
                bool(why_not_nspawn(doctor(os.environ))),
                reason="systemd devices are not possible here",
            ),
        ],
    ),
]


def edgeform(directory: Path, *arguments: str, user: str = "") -> subprocess.CompletedProcess[str]:
    change = ("setpriv", f"--reuid={user}", "--clear-groups") if user else ()
    return subprocess.run(
        (*change, sys.executable, "-m", "edgeform", "lab", *arguments),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    edgeform(tmp_path, "down")


@pytest.mark.parametrize("kind", KINDS)
def test_a_lab_from_up_to_down(home, kind):
    up = edgeform(home, "up", "2", "--kind", kind)
    assert up.returncode == 0, up.stderr
    assert f"lab: {kind} (2 devices" in up.stderr
    # The printed command is one that works.
    login = up.stderr.split("log in with:\n")[1].strip()
    done = subprocess.run(
        (*shlex.split(login), "-oStrictHostKeyChecking=yes", "-oBatchMode=yes", "echo reached"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "reached\n", done.stderr
    shown = edgeform(home, "status", "--json")
    devices = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(d["name"], d["kind"], d["is_on"]) for d in devices] == [
        ("device-1", kind, True),
        ("device-2", kind, True),
    ]
    assert edgeform(home, "cut", "device-2").returncode == 0
    assert edgeform(home, "status").returncode == 9
    assert edgeform(home, "boot", "device-2").returncode == 0
    assert edgeform(home, "status").returncode == 0
    assert edgeform(home, "down").returncode == 0
    assert not (home / ".lab").exists()
    assert "no lab is up" in edgeform(home, "status").stderr


def test_an_unknown_device_is_wrong_usage(home):
    assert edgeform(home, "cut", "device-1").returncode == 64
    assert edgeform(home, "up", "1", "--kind", "rootless").returncode == 0
    said = edgeform(home, "cut", "device-9")
    assert said.returncode == 64
    assert "device-1" in said.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root_the_devices_are_unprivileged_ones_and_the_reason_is_said():
    again = (
        "import edgeform, subprocess, sys; subprocess.run((sys.executable, '-c', ''), check=True)"
    )
    probe = ("setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", again)
    if subprocess.run(probe, capture_output=True, cwd="/", check=False).returncode:
        pytest.skip(f"another user may not run {sys.executable}")
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        directory.chmod(0o777)
        up = edgeform(directory, "up", "1", user="65534")
        try:
            assert up.returncode == 0, up.stderr
            assert "no systemd devices here: root: running as user 65534" in up.stderr
            assert "lab: rootless" in up.stderr
        finally:
            assert edgeform(directory, "down", user="65534").returncode == 0


def test_the_doctor_names_the_best_lab(tmp_path):
    said = edgeform(tmp_path, "doctor")
    assert said.returncode == 0
    assert "best lab here: " in said.stdout
    listed = [json.loads(x) for x in edgeform(tmp_path, "doctor", "--json").stdout.splitlines()]
    assert {"name", "present", "reason", "install", "install_command"} == set(listed[0])
