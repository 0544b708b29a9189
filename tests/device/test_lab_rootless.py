"""Unprivileged devices: real commands, real bytes, connections that misbehave on demand."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.lab import ssh_command

from edgeform.lab.device import LabKind
from edgeform.lab.failure import LabMisused
from edgeform.lab.faults import Fault
from edgeform.lab.keys import ensure_key
from edgeform.lab.lab import down, running, status, up


def test_a_login_with_the_pinned_key_runs_a_real_shell(rootless_lab, ssh):
    device = rootless_lab.devices()[0]
    said = ssh(device, "echo out; echo err >&2; pwd; exit 7")
    assert said.status == 7
    assert said.err == "err\n"
    assert said.out.splitlines()[0] == "out"
    assert said.out.splitlines()[1].endswith("small-1/home")


def test_another_key_is_refused(rootless_lab, ssh, tmp_path):
    device = rootless_lab.devices()[0]
    ensure_key(tmp_path / "stranger", comment="stranger")
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"{device.known_hosts_line}\n")
    command = ssh_command(device, known_hosts)
    strange = tuple(
        str(tmp_path / "stranger") if word == device.key_path else word for word in command
    )
    done = subprocess.run((*strange, "true"), capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_binary_bytes_pass_unchanged_both_ways(rootless_lab, tmp_path):
    device = rootless_lab.devices()[0]
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"{device.known_hosts_line}\n")
    blob = os.urandom(5 << 20)
    done = subprocess.run(
        (*ssh_command(device, known_hosts), "cat"), input=blob, capture_output=True, check=True
    )
    assert done.stdout == blob


@pytest.mark.parametrize(
    "command",
    [
        "sudo -n id -u",
        "sudo -H -n sh -c 'id -u'",
        "sudo -S -p '' -u root -- id -u",
        "sudo -n A=1 sh -c 'id -u; test $A = 1'",
    ],
)
def test_sudo_runs_the_command_as_it_is(rootless_lab, ssh, command):
    said = ssh(rootless_lab.devices()[0], command)
    assert (said.status, said.out.strip()) == (0, str(os.getuid()))


def test_files_travel_by_sftp(rootless_lab, tmp_path):
    device = rootless_lab.devices()[0]
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"{device.known_hosts_line}\n")
    (tmp_path / "sent").write_bytes(os.urandom(100_000))
    options = ("-o", f"UserKnownHostsFile={known_hosts}", "-o", "BatchMode=yes")
    program = ("sftp", "-F", "/dev/null", *options, "-i", device.key_path, "-P", str(device.port))
    batch = f"put {tmp_path}/sent kept\nget kept {tmp_path}/back\n"
    subprocess.run(
        (*program, "-b", "-", f"{device.user}@{device.host}"),
        input=batch.encode(),
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()
    assert (Path(device.root).parent / "home/kept").exists()


def test_a_device_has_a_root_tree_of_its_own(rootless_lab):
    one, other = rootless_lab.devices()
    for device in (one, other):
        root = Path(device.root)
        assert (root / "etc/hostname").read_text().strip() == device.name
        assert "MemTotal" in (root / "proc/meminfo").read_text()
        assert (root / "etc/os-release").exists() == Path("/etc/os-release").exists()
        assert Path(device.prefix).is_dir()
        assert not (root / "run/systemd").exists()
    read = "proc/sys/kernel/random/boot_id"
    assert (Path(one.root) / read).read_text() != (Path(other.root) / read).read_text()


def test_a_cut_ends_also_detached_processes(rootless_lab, ssh):
    device, other = rootless_lab.devices()
    start = "setsid sh -c 'echo $$ > ~/pid; exec sleep 100000' </dev/null >/dev/null 2>&1 &"
    for each in (device, other):
        assert ssh(each, f"{start} until [ -s ~/pid ]; do :; done").status == 0
    pids = [int((Path(d.root).parent / "home/pid").read_text()) for d in (device, other)]
    before = rootless_lab.boot_id(device.name)
    rootless_lab.cut(device.name)
    assert not rootless_lab.is_on(device.name)
    assert not _runs(pids[0])
    assert _runs(pids[1])
    assert "Connection refused" in ssh(device, "true").err
    rootless_lab.boot(device.name)
    assert rootless_lab.boot_id(device.name) != before
    assert ssh(device, "true").status == 0
    assert rootless_lab.devices()[0].port == device.port


def _runs(pid: int) -> bool:
    try:
        return b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_boot_runs_the_devices_own_start_script(rootless_lab):
    device = rootless_lab.devices()[0]
    script = Path(device.root) / "etc/rc.local"
    script.write_text("#!/bin/sh\necho started >> ~/boots\nmkfifo ~/told; read line < ~/told\n")
    script.chmod(0o755)
    rootless_lab.reboot(device.name)
    home = Path(device.root).parent / "home"
    # Opening for writing returns when the script reads: nothing is guessed about its speed.
    deadline = time.monotonic() + 20
    while not (home / "told").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (home / "told").write_text("done\n")
    assert (home / "boots").read_text() == "started\n"


def test_a_refused_connection(rootless_lab, ssh):
    device = rootless_lab.devices()[0]
    rootless_lab.set_fault(device.name, Fault(refuse=True))
    assert "reset" in ssh(device, "true").err
    assert ssh(rootless_lab.devices()[1], "true").status == 0
    rootless_lab.set_fault(device.name, Fault())
    assert ssh(device, "true").status == 0


def test_a_delayed_connection_is_slow_and_whole(rootless_lab, ssh):
    device = rootless_lab.devices()[0]
    rootless_lab.set_fault(device.name, Fault(delay_s=0.05))
    began = time.monotonic()
    assert ssh(device, "cat", stdin=b"x" * 1000).out == "x" * 1000
    # A login takes at least five round trips.
    assert time.monotonic() - began > 0.5


def test_a_silent_peer_never_greets(rootless_lab):
    device = rootless_lab.devices()[0]
    rootless_lab.set_fault(device.name, Fault(stall_after_bytes=0))
    with socket.create_connection((device.host, device.port)) as line:
        line.settimeout(1.0)
        with pytest.raises(TimeoutError):
            line.recv(1)


def test_a_connection_is_cut_at_a_byte(rootless_lab, ssh):
    device = rootless_lab.devices()[0]
    rootless_lab.set_fault(device.name, Fault(cut_after_bytes=200_000))
    said = ssh(device, "cat > received", stdin=bytes(1 << 20))
    assert said.status == 255
    received = (Path(device.root).parent / "home/received").stat().st_size
    assert received < 200_000


def test_a_connection_that_stalls_in_the_middle_stays_open(rootless_lab, tmp_path):
    device = rootless_lab.devices()[0]
    rootless_lab.set_fault(device.name, Fault(stall_after_bytes=100_000))
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"{device.known_hosts_line}\n")
    with subprocess.Popen(
        (*ssh_command(device, known_hosts), "cat > /dev/null; echo done"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as client:
        with pytest.raises(subprocess.TimeoutExpired):
            client.communicate(bytes(1 << 18), timeout=2)
        assert client.poll() is None
        client.kill()


def test_a_connection_dies_at_its_third_command(rootless_lab, tmp_path):
    device = rootless_lab.devices()[0]
    rootless_lab.set_fault(device.name, Fault(kill_after_commands=2))
    known_hosts = tmp_path / "known"
    known_hosts.write_text(f"{device.known_hosts_line}\n")
    shared = ("-S", str(tmp_path / "s"))
    base = ssh_command(device, known_hosts)
    with subprocess.Popen(
        (*base, *shared, "-M", "-N"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as master:
        deadline = time.monotonic() + 20
        while not (tmp_path / "s").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        statuses = [
            subprocess.run((*base, *shared, "true"), capture_output=True, check=False).returncode
            for _ in range(3)
        ]
        assert statuses == [0, 0, 255]
        master.wait(timeout=20)


def test_the_facade_brings_up_finds_and_removes(tmp_path):
    directory = tmp_path / "demo"
    up(("one",), kind=LabKind.ROOTLESS, directory=directory, environment=os.environ)
    try:
        assert [(d.name, on) for d, on in status(directory, environment=os.environ)] == [
            ("one", True)
        ]
        found = running(directory, environment=os.environ)
        assert found is not None
        found.cut("one")
        assert status(directory, environment=os.environ)[0][1] is False
        with pytest.raises(LabMisused, match="no device 'two'"):
            found.boot("two")
    finally:
        down(directory, environment=os.environ)
    assert not directory.exists()
    assert status(directory, environment=os.environ) == ()
    down(directory, environment=os.environ)


def test_the_lab_ends_with_its_owner(tmp_path):
    owner = subprocess.Popen(("sleep", "100"))
    directory = tmp_path / "owned"
    up(
        ("one",),
        kind=LabKind.ROOTLESS,
        directory=directory,
        environment=os.environ,
        owner_pid=owner.pid,
    )
    try:
        owner.kill()
        owner.wait()
        deadline = time.monotonic() + 20
        while running(directory, environment=os.environ) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running(directory, environment=os.environ) is None
    finally:
        down(directory, environment=os.environ)
