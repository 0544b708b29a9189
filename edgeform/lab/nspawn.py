"""Devices with a real systemd and a real sshd: systemd-nspawn over one shared template."""

import json
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.cgroup import DeviceCgroup, mountinfo, mounts_of
from edgeform.lab.device import (
    DeviceOptions,
    LabDevice,
    LabKind,
    checked_name,
    options_from_json,
    options_to_json,
    write_atomically,
)
from edgeform.lab.execution import Command, Progress, run, silent, wait_until
from edgeform.lab.failure import CommandFailed, LabError, LabMisused
from edgeform.lab.keys import ensure_key, known_hosts_line
from edgeform.lab.leftovers import forget, remember, sweep, sweep_dead
from edgeform.lab.network import DEVICES_MAX, LabNetwork, lab_id_of
from edgeform.lab.nspawn_plan import STORE, DevicePlan, start_command
from edgeform.lab.nspawn_prepare import make_network, prepare, raise_inotify_limit
from edgeform.lab.template import ensure_template

BOOT_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one lab lives: fixed when its network is made, kept in `lab.json`."""

    directory: Path
    template: Path
    network: LabNetwork


class NspawnLab:
    """A lab of systemd devices in one directory.

    The directory decides the lab's identity: two labs in two directories share nothing but the template.
    """

    def __init__(
        self,
        directory: Path,
        *,
        environment: Mapping[str, str],
        owner_pid: int = 0,
        progress: Progress = silent,
    ) -> None:
        """Name a lab without touching anything.

        Args:
            owner_pid: the process without which the lab is worthless (a test run): a later `up` of
                any lab on this host takes the lab down when that process is gone. 0: lives on.
        """
        self._directory = directory.resolve()
        self._environment = environment
        self._owner_pid = owner_pid
        self._progress = progress
        self._lab_id = lab_id_of(str(self._directory))
        self._cgroups = mounts_of(mountinfo())
        self._plans: dict[str, DevicePlan] = {}
        self._placement: Placement | None = None
        self._power: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def network(self) -> LabNetwork:
        return self._placed().network

    @property
    def known_hosts(self) -> Path:
        return self._directory / "known_hosts"

    def up(self, names: tuple[str, ...]) -> tuple[LabDevice, ...]:
        """Start a lab with one ordinary device per name and return when all of them answer."""
        sweep_dead(self._progress)
        self.down()
        if not self._cgroups.unified:
            raise LabError(
                "Systemd devices need a mounted cgroup v2 tree, and this host has none.",
                hint="mount -t cgroup2 none /sys/fs/cgroup/unified",
            )
        raise_inotify_limit()
        template = ensure_template(self._environment, progress=self._progress)
        self._directory.mkdir(parents=True, exist_ok=True)
        remember(self._lab_id, self._directory, self._owner_pid)
        try:
            self._placement = Placement(
                directory=self._directory, template=template, network=make_network(self._lab_id)
            )
            if run(("stat", "-f", "-c", "%T", str(self._directory))).strip() == "overlayfs":
                # An overlay cannot be the upper layer of another: in containers devices live in memory.
                (self._directory / "disk").mkdir()
                run(("mount", "-t", "tmpfs", "tmpfs", str(self._directory / "disk")))
            self._save()
            devices = tuple(self.create(name) for name in names)
            self._progress(f"booting {len(devices)} devices")
            for name in names:
                self._start(self._plans[name])
            for name in names:
                self.wait_ready(name)
        except BaseException:
            self.down()
            raise
        return devices

    def attach(self) -> bool:
        """Take over a lab that another process started in this directory; False if there is none."""
        state = self._directory / "lab.json"
        if not state.exists():
            return False
        kept = json.loads(state.read_text())
        network = LabNetwork(lab_id=self._lab_id, subnet=kept["subnet"])
        if not Path(network.namespace_path).exists():
            return False
        self._placement = Placement(
            directory=self._directory, template=Path(kept["template"]), network=network
        )
        for entry in kept["devices"]:
            # Options only matter for switching on, and are not needed to look.
            self._plans[entry["name"]] = self._plan(
                entry["index"], entry["name"], options_from_json(entry["options"])
            )
        return True

    def add(self, name: str, options: DeviceOptions | None = None) -> LabDevice:
        """Start one more device, different from the others as its options say."""
        device = self.create(name, options)
        self.boot(name)
        return device

    def create(self, name: str, options: DeviceOptions | None = None) -> LabDevice:
        """Make a device without switching it on."""
        options = options or DeviceOptions()
        if checked_name(name) in self._plans:
            raise LabMisused(f"The lab has a device {name!r} already.")
        used = {plan.index for plan in self._plans.values()}
        free = next((i for i in range(1, DEVICES_MAX + 1) if i not in used), 0)
        if not free:
            raise LabMisused(f"A lab holds at most {DEVICES_MAX} devices.")
        plan = self._plan(free, name, options)
        prepare(plan, ensure_key(self._directory / "id_ed25519", comment="edgeform-lab"))
        self._plans[name] = plan
        self._save()
        return self._device(plan)

    def remove(self, name: str) -> None:
        """Cut a device off and delete everything it was."""
        plan = self._known(name)
        self._off(plan)
        plan.cgroup.remove()
        shutil.rmtree(plan.directory)
        shutil.rmtree(plan.layers, ignore_errors=True)
        del self._plans[name]
        self._save()

    def devices(self) -> tuple[LabDevice, ...]:
        return tuple(self._device(plan) for plan in self._plans.values())

    def is_on(self, name: str) -> bool:
        return self._known(name).cgroup.is_populated()

    def boot(self, name: str) -> None:
        """Switch a device on and return when its sshd answers."""
        self._start(self._known(name))
        self.wait_ready(name)

    def cut(self, name: str) -> None:
        """Take the power: every process of the device ends at once; its disk is as it was.

        The host's page cache survives, so this shows what a killed system leaves, not what a disk
        loses: that is the crash disk's business.
        """
        self._off(self._known(name))

    def reboot(self, name: str) -> None:
        """Have the device reboot itself, and return when it is back."""
        before = self.boot_id(name)
        # Its own shutdown ends this very command, at any point.
        try:
            self.exec(name, ("systemctl", "--no-block", "reboot"))
        except CommandFailed:
            if self.is_on(name) and self.boot_id(name) == before:
                raise
        wait_until(
            lambda: self.boot_id(name) not in {"", before},
            what=f"{name} to shut down and start again",
            timeout_s=BOOT_TIMEOUT_S,
        )
        self.wait_ready(name)

    def boot_id(self, name: str) -> str:
        """What the device reads in /proc/sys/kernel/random/boot_id; "" while it is off."""
        read = ("cat", "/proc/sys/kernel/random/boot_id")
        try:
            # Whoever enters a device that is just ending may wait there for ever.
            return self.exec(name, read, timeout_s=5.0).strip()
        except LabError:
            return ""

    def exec(
        self, name: str, command: Command, *, stdin: bytes = b"", timeout_s: float = 60.0
    ) -> str:
        """What a command printed that was run as root inside the device, not over SSH."""
        plan = self._known(name)
        leader = plan.cgroup.leader()
        if not leader:
            raise LabError(f"The device {name} is off.", hint="Switch it on first.")
        # The command joins the device's group, so that cutting the device ends it too.
        join = f'echo 0 > "{plan.cgroup.unified}/loop/cgroup.procs"; exec "$@"'
        enter = ("nsenter", f"--target={leader}", "--mount", "--net", "--pid", "--uts", "--ipc")
        return run(
            ("sh", "-c", join, "sh", *enter, "--", *command), stdin=stdin, timeout_s=timeout_s
        )

    def wait_ready(self, name: str, *, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Return when the device's sshd greets.

        Raises:
            LabError: it does not, with the end of the device's console.
        """
        plan = self._known(name)
        try:
            wait_until(
                lambda: _greets(plan.address, 22) or not self._alive(plan),
                what=f"{name} to answer on {plan.address}",
                timeout_s=timeout_s,
            )
        except LabError as exc:
            raise LabError(exc.detail, hint=_tail(plan.console)) from exc
        if not self._alive(plan):
            raise LabError(f"The device {name} ended while it booted.", hint=_tail(plan.console))

    def host_view(self, name: str) -> Path:
        """The writable layer of a device, as the host sees it; only to look at."""
        return self._known(name).upper

    def down(self) -> None:
        """Take the whole lab away: processes, groups, mounts, interfaces, files."""
        sweep(self._lab_id, self._directory, self._cgroups)
        for process in self._power.values():
            process.wait()
        self._power.clear()
        self._plans.clear()
        self._placement = None
        forget(self._lab_id)

    def _alive(self, plan: DevicePlan) -> bool:
        return plan.cgroup.is_populated()

    def _placed(self) -> Placement:
        if self._placement is None:
            raise LabMisused(f"No lab is up in {self._directory}.", hint="edgeform lab up")
        return self._placement

    def _known(self, name: str) -> DevicePlan:
        if name not in self._plans:
            known = ", ".join(self._plans) or "none"
            raise LabMisused(f"The lab has no device {name!r}; it has: {known}.")
        return self._plans[name]

    def _plan(self, index: int, name: str, options: DeviceOptions) -> DevicePlan:
        placement = self._placed()
        directory = placement.directory / "devices" / name
        disk = placement.directory / "disk"
        return DevicePlan(
            index=index,
            name=name,
            directory=directory,
            layers=disk / name if disk.exists() else directory,
            template=placement.template,
            network=placement.network,
            cgroup=DeviceCgroup(mounts=self._cgroups, lab_id=self._lab_id, key=f"d{index}"),
            options=options,
            python_source="" if options.python in {"", "none"} else options.python,
        )

    def _start(self, plan: DevicePlan) -> None:
        if self._alive(plan):
            raise LabMisused(f"The device {plan.name} is on already.")
        with plan.console.open("ab") as console:
            # Detached in every way: the device outlives us, and holds no descriptor of our caller's.
            process = subprocess.Popen(
                start_command(plan),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self._power[plan.name] = process
        wait_until(
            lambda: self._alive(plan) or process.poll() is not None,
            what=f"{plan.name} to start",
            timeout_s=20,
        )
        if process.poll() is not None:
            raise LabError(f"The device {plan.name} did not start.", hint=_tail(plan.console))

    def _off(self, plan: DevicePlan) -> None:
        plan.cgroup.kill()
        if process := self._power.pop(plan.name, None):
            process.wait()
        # The kernel takes a dead namespace's interface away in its own time; a boot before that
        # would find the name taken.
        port = ("ip", "-j", "-n", plan.network.namespace, "link", "show")
        wait_until(
            lambda: plan.host_port not in {link["ifname"] for link in json.loads(run(port))},
            what=f"the interface {plan.host_port} to go",
            timeout_s=20,
        )

    def _device(self, plan: DevicePlan) -> LabDevice:
        public = (plan.upper / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        return LabDevice(
            name=plan.name,
            kind=LabKind.NSPAWN,
            host=plan.address,
            port=22,
            user="root" if plan.options.day_zero else "edge",
            key_path=str(self._directory / "id_ed25519"),
            known_hosts_line=known_hosts_line(plan.address, 22, public),
            prefix=STORE,
            root="/",
        )

    def _save(self) -> None:
        placement = self._placed()
        entries = [
            {"name": plan.name, "index": plan.index, "options": options_to_json(plan.options)}
            for plan in self._plans.values()
        ]
        kept = {
            "subnet": placement.network.subnet,
            "template": str(placement.template),
            "devices": entries,
        }
        write_atomically(self._directory / "lab.json", json.dumps(kept, indent=1) + "\n")
        lines = "".join(f"{device.known_hosts_line}\n" for device in self.devices())
        write_atomically(self.known_hosts, lines)


def _greets(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            # The whole greeting is taken: closing before would be a reset in the device's log.
            return connection.recv(256).startswith(b"SSH-")
    except OSError:
        return False


def _tail(console: Path) -> str:
    try:
        return console.read_text(errors="replace")[-2000:]
    except OSError:
        return ""
