"""Lab devices for tests: fixtures (imported by the conftest files that want them) and SSH to a device."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeform.lab.device import DeviceOptions, LabDevice
from edgeform.lab.doctor import doctor, why_not_nspawn
from edgeform.lab.nspawn import NspawnLab
from edgeform.lab.rootless_lab import RootlessLab

STANDING = ("device-1", "device-2", "device-3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command on a device ended with."""

    status: int
    out: str
    err: str


def ssh_command(device: LabDevice, known_hosts: Path, *, user: str = "") -> tuple[str, ...]:
    """OpenSSH's client, trusting this device's pinned key and no other."""
    options = (
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "ConnectTimeout=10",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
    )
    settings = (word for option in options for word in ("-o", option))
    login = (f"{user or device.user}@{device.host}", "-p", str(device.port))
    return ("ssh", "-F", "/dev/null", *settings, "-i", device.key_path, *login)


@pytest.fixture
def ssh(tmp_path) -> Callable[..., Said]:
    """ssh(device, "command", stdin=b"", user=""): a real login with the pinned host key."""

    def login(
        device: LabDevice,
        command: str,
        *,
        stdin: bytes = b"",
        user: str = "",
        timeout_s: float = 60,
    ) -> Said:
        known_hosts = tmp_path / f"known_hosts-{device.name}"
        known_hosts.write_text(f"{device.known_hosts_line}\n")
        done = subprocess.run(
            (*ssh_command(device, known_hosts, user=user), command),
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return Said(status=done.returncode, out=out, err=err)

    return login


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[NspawnLab]:
    """A lab of three systemd devices for the whole session.

    They are shared: a test leaves them as they were, or takes a fresh device instead.
    """
    if obstacles := why_not_nspawn(doctor(os.environ)):
        pytest.skip(f"systemd devices are not possible here: {obstacles}")
    built = NspawnLab(
        tmp_path_factory.mktemp("lab") / "lab", environment=os.environ, owner_pid=os.getpid()
    )
    built.up(STANDING)
    yield built
    built.down()


@pytest.fixture
def fresh_device(lab) -> Iterator[Callable[..., LabDevice]]:
    """fresh_device(memory_mb=64, ...): a device of the test's own, gone afterwards."""
    made: list[str] = []

    def make(name: str = "", **options) -> LabDevice:
        free = name or next(
            candidate
            for candidate in map("fresh-{}".format, itertools.count(1))
            if candidate not in {device.name for device in lab.devices()}
        )
        made.append(free)
        return lab.add(free, DeviceOptions(**options))

    yield make
    for name in made:
        if name in {device.name for device in lab.devices()}:
            lab.remove(name)


@pytest.fixture
def device(fresh_device) -> LabDevice:
    """An ordinary systemd device that nobody used before."""
    return fresh_device()


@pytest.fixture
def rootless_lab(tmp_path) -> Iterator[RootlessLab]:
    """Two unprivileged devices; with `set_fault` for bad connections."""
    pytest.importorskip("asyncssh", reason="the extra edgeform[lab] is not installed")
    built = RootlessLab(tmp_path / "rootless", environment=os.environ, owner_pid=os.getpid())
    built.up(("small-1", "small-2"))
    yield built
    built.down()
