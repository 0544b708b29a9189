"""A lab of virtual machines: devices with a kernel, a disk and a power supply of their own."""

import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from edgeform.lab.cgroup import mountinfo, mounts_of
from edgeform.lab.device import LabDevice, checked_name, write_atomically
from edgeform.lab.execution import Command, Progress, silent, wait_until
from edgeform.lab.failure import CommandFailed, LabError, LabMisused
from edgeform.lab.leftovers import MACHINES, forget, remember, sweep, sweep_dead
from edgeform.lab.network import lab_id_of
from edgeform.lab.vm import BOOT_TIMEOUT_S, Vm
from edgeform.lab.vm_guest import Board, VmOptions, VmPlan, guest_of
from edgeform.lab.vm_image import ensure_image

FIRST_PORT, PORTS = 21_000, 9_000
"""Below where the kernel takes ports for outgoing connections: a machine's stays free while it is off."""


class VmLab:
    """Machines in one directory; each boots alone, since emulation takes a whole core."""

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
            owner_pid: the process without which the lab is worthless (a test run); where it is this
                one, the machines end with it. 0: the lab lives on.
        """
        self._directory = directory.resolve()
        self._environment = environment
        self._owner_pid = owner_pid
        self._progress = progress
        self._lab_id = lab_id_of(str(self._directory))
        self._machines: dict[str, Vm] = {}

    @property
    def known_hosts(self) -> Path:
        return self._directory / "known_hosts"

    def up(self, names: tuple[str, ...]) -> tuple[LabDevice, ...]:
        """Start a lab with one x86_64 machine per name and return when all of them answer."""
        if os.geteuid() == 0:
            sweep_dead(self._progress)
        self.down()
        try:
            for name in names:
                self._progress(f"booting {name} (emulated: about 15 s)")
                self.add(name)
        except BaseException:
            self.down()
            raise
        return self.devices()

    def attach(self) -> bool:
        """Take over a lab that another process started in this directory; False if there is none."""
        state = self._directory / MACHINES
        if not state.exists():
            return False
        for entry in json.loads(state.read_text()):
            board = Board(
                model=entry["model"], compatible=tuple(entry["compatible"])
            ) if entry["model"] else None  # fmt: skip
            options = VmOptions(
                guest=guest_of(entry["machine"]),
                memory_mb=entry["memory_mb"],
                board=board,
                images=tuple(Path(image) for image in entry["images"]),
            )
            self._machines[entry["name"]] = self._machine(entry["name"], entry["port"], options)
        return True

    def add(self, name: str, options: VmOptions | None = None) -> LabDevice:
        """Make one more machine and switch it on."""
        device = self.create(name, options)
        self.boot(name)
        return device

    def create(self, name: str, options: VmOptions | None = None) -> LabDevice:
        """Make a machine without switching it on."""
        if checked_name(name) in self._machines:
            raise LabMisused(f"The lab has a machine {name!r} already.")
        if not self._machines:
            self._directory.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:  # without root, the leash alone ends a dead owner's machines
                remember(self._lab_id, self._directory, self._owner_pid)
        taken = {vm.plan.port for vm in self._machines.values()}
        machine = self._machine(name, _free_port(name, taken), options or VmOptions())
        machine.create()
        self._machines[name] = machine
        self._save()
        return machine.device

    def machine(self, name: str) -> Vm:
        """The machine itself: for sticks, snapshots, and what else a network login cannot do."""
        if name not in self._machines:
            known = ", ".join(self._machines) or "none"
            raise LabMisused(f"The lab has no machine {name!r}; it has: {known}.")
        return self._machines[name]

    def remove(self, name: str) -> None:
        """Cut a machine off and delete everything it was."""
        machine = self.machine(name)
        machine.cut()
        shutil.rmtree(machine.plan.directory)
        del self._machines[name]
        self._save()

    def devices(self) -> tuple[LabDevice, ...]:
        return tuple(machine.device for machine in self._machines.values())

    def is_on(self, name: str) -> bool:
        return self.machine(name).is_on

    def boot(self, name: str) -> None:
        """Switch a machine on and return when its sshd answers."""
        self.machine(name).boot()

    def cut(self, name: str) -> None:
        """Take the power: what the machine had not flushed to its disk is gone."""
        self.machine(name).cut()

    def reboot(self, name: str) -> None:
        """Have the machine reboot itself, and return when it is back."""
        before = self.boot_id(name)
        # Its own shutdown ends this very command, at any point.
        try:
            self.exec(name, ("systemctl", "--no-block", "reboot"))
        except CommandFailed:
            if self.boot_id(name) == before:
                raise
        wait_until(
            lambda: self.boot_id(name) not in {"", before},
            what=f"{name} to shut down and start again",
            timeout_s=BOOT_TIMEOUT_S,
        )

    def boot_id(self, name: str) -> str:
        """What the machine reads in /proc/sys/kernel/random/boot_id; "" while it is off."""
        try:
            return self.exec(name, ("cat", "/proc/sys/kernel/random/boot_id")).strip()
        except LabError:
            return ""

    def exec(
        self, name: str, command: Command, *, stdin: bytes = b"", timeout_s: float = 120.0
    ) -> str:
        """What a command printed that root ran in the machine."""
        return self.machine(name).exec(command, stdin=stdin, timeout_s=timeout_s)

    def down(self) -> None:
        """End every machine and delete what it was; nothing to do is no error."""
        for machine in self._machines.values():
            machine.cut()
        self._machines.clear()
        if (self._directory / MACHINES).exists():
            sweep(self._lab_id, self._directory, mounts_of(mountinfo()))
        if os.geteuid() == 0:
            forget(self._lab_id)

    def _machine(self, name: str, port: int, options: VmOptions) -> Vm:
        image = ensure_image(self._environment, options.guest, progress=self._progress)
        plan = VmPlan(
            name=name,
            directory=self._directory / "devices" / name,
            kernel=image.kernel,
            base_initrd=image.initrd,
            base_disk=image.disk,
            port=port,
            options=options,
        )
        return Vm(
            plan,
            user_key=self._directory / "id_ed25519",
            ends_with_us=self._owner_pid == os.getpid(),
        )

    def _save(self) -> None:
        plans = [machine.plan for machine in self._machines.values()]
        entries = [
            {
                "name": plan.name,
                "port": plan.port,
                "machine": plan.options.guest.machine,
                "memory_mb": plan.options.memory_mb,
                "model": plan.options.board.model if plan.options.board else "",
                "compatible": plan.options.board.compatible if plan.options.board else (),
                "images": [str(image) for image in plan.options.images],
            }
            for plan in plans
        ]
        write_atomically(self._directory / MACHINES, json.dumps(entries, indent=1) + "\n")
        lines = "".join(f"{device.known_hosts_line}\n" for device in self.devices())
        write_atomically(self.known_hosts, lines)


def _free_port(name: str, taken: set[int]) -> int:
    """A port of the loopback that nobody listens on, found from a place that differs by process."""
    start = (os.getpid() * 37 + len(name)) % PORTS
    for step in range(PORTS):
        port = FIRST_PORT + (start + step) % PORTS
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise LabError(f"No port of the loopback from {FIRST_PORT} on is free.")
