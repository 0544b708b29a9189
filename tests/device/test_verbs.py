"""Verbs on devices with a real sshd: host keys, day zero, a device without Python, Ansible's inventory."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edgeform.lab.device import LabDevice
from edgeform.transport.hostkeys import parse_host_key

pytestmark = pytest.mark.device

LAB = Path(__file__).resolve().parents[2] / "site" / "lab"
PASSWORD = "day-zero-canary-51c2"


class Site:
    """The lab's site with one device, run as its user runs it."""

    def __init__(self, folder: Path, device: LabDevice, *, user: str = "") -> None:
        self.folder = folder
        self.device = device
        folder.mkdir()
        for name in ("site", "classes", "models", "pipelines", "rollout"):
            shutil.copy(LAB / f"{name}.yaml", folder)
        shutil.copytree(LAB / "model", folder / "model")
        text = (folder / "site.yaml").read_text()
        (folder / "site.yaml").write_text(
            "\n".join(
                f"    connect: {{user: {user or device.user}, become: sudo, key_file: {device.key_path}}}"
                if line.strip().startswith("connect:")
                else line
                for line in text.splitlines()
            )
        )
        (folder / "devices.yaml").write_text(
            "api_version: edgeform/v1\nkind: DeviceList\nmetadata: {name: one}\nspec:\n"
            "  common: {class: lab-cpu, pipelines: [{name: digits-gate}]}\n  devices:\n"
            f"    - {{name: {device.name}, connect: {{host: {device.host}, port: {device.port}}}}}\n"
        )

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def fingerprint(self) -> str:
        """As it stands on the device's console."""
        return parse_host_key(self.device.known_hosts_line.split(" ", 1)[1]).fingerprint

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "edgeform", *words),
            cwd=self.folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )


@pytest.fixture
def site(device, tmp_path):
    return Site(tmp_path / "site", device)


def test_an_unknown_host_key_is_refused_and_its_fingerprint_shown(site):
    said = site.run("enroll")
    assert said.returncode == 8, said.stderr
    assert site.fingerprint in said.stderr
    assert "--fingerprint" in said.stderr
    assert not site.known_hosts.exists()


def test_a_wrong_fingerprint_is_refused_and_nothing_is_pinned(site):
    said = site.run("enroll", "--fingerprint", "SHA256:" + "A" * 43)
    assert said.returncode == 8, said.stderr
    assert "was expected" in said.stderr
    assert not site.known_hosts.exists()


def test_a_compared_host_key_is_pinned_and_the_device_enrolled(site, ssh):
    said = site.run("enroll", "--fingerprint", site.fingerprint, "--json")
    assert said.returncode == 0, said.stderr
    done = json.loads(said.stdout)
    assert done["key"] == "new"
    assert site.device.known_hosts_line.split()[-1] in site.known_hosts.read_text()
    found = ssh(site.device, "sudo /var/lib/edgeform/bin/edgeform-device version")
    assert json.loads(found.out)["ok"] is True
    # From now on without a word, by every verb.
    again = site.run("enroll", "--json")
    assert (again.returncode, json.loads(again.stdout)["code"]) == (0, done["code"])
    status = site.run("status", "--json")
    assert json.loads(status.stdout)["state"] == "empty", status.stderr
    doctor = site.run("doctor", site.device.name)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def test_a_host_key_that_changed_is_refused_by_enrolling_too(site):
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
    where = site.device.known_hosts_line.split()[0]
    site.known_hosts.write_text(f"{where} {other}\n")
    for options in ((), ("--accept-new-host-key",)):
        said = site.run("enroll", *options)
        assert said.returncode == 8, said.stderr
        assert "the host key has changed" in said.stderr
    assert site.known_hosts.read_text() == f"{where} {other}\n"


def test_an_accepted_host_key_stands_in_the_journal(site):
    said = site.run("enroll", "--accept-new-host-key")
    assert said.returncode == 0, said.stderr
    with closing(sqlite3.connect(site.folder / ".edgeform/journal.db")) as journal:
        rows = journal.execute("SELECT state, detail FROM turns").fetchall()
    assert [state for state, _ in rows] == ["enrolled"]
    assert f"host key {site.fingerprint} accepted" in rows[0][1]


def test_the_doctor_finds_a_device_without_python(fresh_device, tmp_path):
    site = Site(tmp_path / "site", fresh_device(python="none"))
    site.known_hosts.write_text(site.device.known_hosts_line + "\n")
    said = site.run("doctor", site.device.name)
    assert said.returncode == 3, said.stderr
    assert f"{site.device.name} python  wrong" in said.stdout
    assert "edgeform bootstrap" in said.stdout
    assert "Traceback" not in said.stderr


@pytest.fixture
def day_zero(fresh_device, tmp_path):
    if shutil.which("sshpass") is None:
        pytest.skip("no sshpass here: apt-get install sshpass")
    pytest.importorskip("ansible", reason="the extra edgeform[ansible] is not installed")
    key = tmp_path / "keys" / "id_ed25519"
    key.parent.mkdir()
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    device = fresh_device(day_zero=True, password=PASSWORD)
    return Site(tmp_path / "site", replace(device, key_path=str(key)), user="edgeform")


def test_day_zero_from_a_password_to_an_enrolled_device_and_twice_is_once(day_zero):
    name = day_zero.device.name
    refused = day_zero.run("bootstrap", name, EDGEFORM_BOOTSTRAP_PASSWORD=PASSWORD)
    assert refused.returncode == 8, "an unknown host key gets no password"
    first = day_zero.run(
        "bootstrap", name, "--fingerprint", day_zero.fingerprint, "--json",
        EDGEFORM_BOOTSTRAP_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert first.returncode == 0, first.stdout + first.stderr
    assert json.loads(first.stdout)["changed"] > 0
    second = day_zero.run("bootstrap", name, "--json", EDGEFORM_BOOTSTRAP_PASSWORD=PASSWORD)
    assert second.returncode == 0, second.stdout + second.stderr
    assert json.loads(second.stdout)["changed"] == 0, second.stderr
    for said in (refused, first, second):
        assert PASSWORD not in said.stdout + said.stderr
    assert day_zero.run("enroll", name).returncode == 0
    assert json.loads(day_zero.run("status", "--json").stdout)["state"] == "empty"


def test_a_wrong_password_changes_nothing_and_is_exit_9(day_zero):
    said = day_zero.run(
        "bootstrap", day_zero.device.name, "--accept-new-host-key",
        EDGEFORM_BOOTSTRAP_PASSWORD="wrong",
    )  # fmt: skip
    assert said.returncode == 9, said.stdout + said.stderr


def test_without_a_password_and_a_terminal_bootstrap_says_what_to_set(day_zero):
    said = day_zero.run("bootstrap", day_zero.device.name)
    assert said.returncode == 64
    assert "EDGEFORM_BOOTSTRAP_PASSWORD" in said.stderr
