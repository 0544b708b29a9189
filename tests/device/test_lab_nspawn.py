"""Systemd devices: they boot, they are reached by their pinned key only, they reboot and lose power."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from edgeform.lab.device import Bind, DiskKind, SudoRule
from edgeform.lab.execution import wait_until
from edgeform.lab.failure import LabError, LabMisused
from edgeform.lab.lab import running, status

pytestmark = pytest.mark.device

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def test_three_devices_are_up_and_healthy(lab, ssh):
    for device in lab.devices():
        said = ssh(device, "hostname; systemctl is-system-running --wait; sudo -n id -u")
        assert said.out.split() == [device.name, "running", "0"], said


def test_the_device_python_has_what_the_device_tool_needs(lab, ssh):
    modules = "json,hashlib,ssl,ctypes,fcntl,sqlite3,tarfile,lzma,zlib,apt_pkg"
    assert ssh(lab.devices()[0], f"python3 -c 'import {modules}'").status == 0


def test_a_key_of_another_device_is_not_accepted(lab, ssh, tmp_path):
    one, other, _ = lab.devices()
    key = other.known_hosts_line.split(" ", 1)[1]
    impostor = type(one)(
        **{
            **{name: getattr(one, name) for name in one.__slots__},
            "known_hosts_line": f"{one.host} {key}",
        }
    )
    said = ssh(impostor, "true")
    assert said.status == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in said.err


def test_every_device_has_its_own_identity(lab, ssh):
    texts = [ssh(d, f"cat /etc/machine-id; {BOOT_ID}").out.split() for d in lab.devices()]
    flat = [word for text in texts for word in text]
    assert len(set(flat)) == 6
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() not in flat


def test_binary_bytes_pass_unchanged_through_ssh(lab, ssh):
    blob = os.urandom(1 << 20)
    said = ssh(lab.devices()[0], "sha256sum", stdin=blob)
    expected = subprocess.run(("sha256sum",), input=blob, capture_output=True, check=True)
    assert said.out == expected.stdout.decode()


def test_devices_reach_each_other_and_the_host(lab, ssh):
    one, other, _ = lab.devices()
    probe = "import socket,sys; print(socket.create_connection((sys.argv[1], 22), 5).recv(4))"
    assert "SSH-" in ssh(one, f'python3 -c "{probe}" {other.host}').out
    said = ssh(one, f"ip route get {lab.network.host_address}")
    assert lab.network.gateway in said.out


def test_a_reboot_is_another_boot_with_the_same_disk(lab, device, ssh):
    before = ssh(device, f"echo kept | sudo tee /var/lib/kept; {BOOT_ID}").out.split()[1]
    lab.reboot(device.name)
    after = ssh(device, f"cat /var/lib/kept; {BOOT_ID}").out.split()
    assert after[0] == "kept"
    assert after[1] != before
    assert lab.boot_id(device.name) == after[1]


def test_a_reboot_asked_for_over_ssh_comes_back(lab, device, ssh):
    before = lab.boot_id(device.name)
    ssh(device, "sudo systemctl reboot")
    # systemd gives a service that does not stop 90 s before it is killed.
    wait_until(
        lambda: lab.boot_id(device.name) not in {"", before}, what="another boot", timeout_s=180
    )
    lab.wait_ready(device.name)
    assert ssh(device, "true").status == 0


def test_a_cut_ends_everything_and_a_boot_brings_it_back(lab, device, ssh):
    marked = ssh(device, "sudo systemd-run --unit=burner sleep 100000; echo $?")
    assert marked.out.strip() == "0", marked
    before = lab.boot_id(device.name)
    lab.cut(device.name)
    assert not lab.is_on(device.name)
    with pytest.raises(LabError, match="is off"):
        lab.exec(device.name, ("true",))
    assert ssh(device, "true").status == 255
    lab.boot(device.name)
    assert lab.boot_id(device.name) not in {"", before}
    assert ssh(device, "systemctl is-active burner").out.strip() == "inactive"


def test_a_device_that_is_on_cannot_be_switched_on(lab):
    with pytest.raises(LabMisused, match="on already"):
        lab.boot("device-1")


def test_an_unknown_device_is_named_with_those_there_are(lab):
    with pytest.raises(LabMisused, match=r"no device 'nobody'.*device-1"):
        lab.cut("nobody")


@pytest.mark.parametrize("kind", list(DiskKind))
def test_a_small_store_is_full_when_it_is_full(lab, fresh_device, ssh, kind):
    device = fresh_device(store_mb=16, store_kind=kind)
    said = ssh(device, "sudo dd if=/dev/zero of=/var/lib/edgeform/big bs=1M count=32")
    assert "No space left on device" in said.err
    assert ssh(device, "df --output=fstype /var/lib/edgeform").out.split()[1] == kind
    # The rest of the system is not affected.
    assert ssh(device, "sudo dd if=/dev/zero of=/var/lib/other bs=1M count=32").status == 0


def test_a_store_on_ext4_survives_a_cut(lab, fresh_device, ssh):
    device = fresh_device(store_mb=16)
    ssh(device, "echo kept | sudo tee /var/lib/edgeform/kept && sync")
    lab.cut(device.name)
    lab.boot(device.name)
    assert ssh(device, "cat /var/lib/edgeform/kept").out.strip() == "kept"


def test_sudo_may_ask_for_a_password(fresh_device, ssh):
    device = fresh_device(sudo=SudoRule.PASSWORD, password="canary-7")
    assert "a password is required" in ssh(device, "sudo -n id").err
    assert ssh(device, "sudo -S -p '' id -u", stdin=b"canary-7\n").out.strip() == "0"
    assert ssh(device, "sudo -S -p '' id -u", stdin=b"wrong\n").status != 0


def test_sudo_may_be_refused(fresh_device, ssh):
    device = fresh_device(sudo=SudoRule.NONE)
    assert ssh(device, "sudo -n id").status != 0
    assert ssh(device, "id -un").out.strip() == "edge"


def test_a_day_zero_device_has_only_root_and_a_password(fresh_device, ssh, tmp_path):
    device = fresh_device(day_zero=True, password="canary-8")
    assert device.user == "root"
    refused = ssh(device, "true")
    assert refused.status == 255
    assert "publickey,password" in refused.err
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho canary-8\n")
    askpass.chmod(0o755)
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"{device.known_hosts_line}\n")
    options = ("-o", f"UserKnownHostsFile={known_hosts}", "-o", "PubkeyAuthentication=no")
    done = subprocess.run(
        ("ssh", "-F", "/dev/null", *options, f"root@{device.host}", "id -un; id edge"),
        env={**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "root", done
    assert "no such user" in done.stderr


def test_python_may_be_missing(fresh_device, ssh):
    device = fresh_device(python="none")
    assert ssh(device, "python3 --version").status == 127
    assert ssh(device, "systemctl is-system-running --wait").out.strip() == "running"


def test_python_may_be_an_old_one(fresh_device, ssh):
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(pyenv.glob("versions/3.8.*"))
    if not found:
        pytest.skip("no Python 3.8 of pyenv on this machine")
    device = fresh_device(python=str(found[0]))
    said = ssh(device, "python3 -c 'import sys,json,hashlib,ctypes; print(sys.version_info[:2])'")
    assert said.out.strip() == "(3, 8)", said


def test_memory_and_cpu_are_limited_from_outside(fresh_device, ssh):
    device = fresh_device(memory_mb=192, cpu_percent=50)
    said = ssh(device, "python3 -c 'b = bytearray(400 << 20); print(len(b))'")
    assert said.status in {137, 255}, said
    assert said.out == ""


def test_a_path_of_the_host_can_be_bound(fresh_device, ssh, tmp_path):
    (tmp_path / "model").write_text("NVIDIA Jetson Orin Nano\n")
    target = "/sys/firmware/devicetree/base"
    device = fresh_device(binds=(Bind(source=str(tmp_path), target=target, writable=False),))
    assert "Jetson" in ssh(device, f"sudo cat {target}/model").out
    assert ssh(device, f"sudo touch {target}/x").status != 0


def test_another_process_finds_the_lab_by_its_directory(lab):
    directory = lab.known_hosts.parent
    seen = status(directory, environment=os.environ)
    assert {device.name for device, _ in seen} >= {"device-1", "device-2", "device-3"}
    other = running(directory, environment=os.environ)
    assert other is not None
    assert other.boot_id("device-1") == lab.boot_id("device-1") != ""
    assert json.loads((directory / "lab.json").read_text())["subnet"] == lab.network.subnet
