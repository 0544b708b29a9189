"""One virtual machine: its power, what it runs, and what is plugged into it.

Cutting its power is a SIGKILL of qemu: what the guest has flushed is there after the next boot, what it
had not may be gone. A drive that lies about flushes is not modelled here but by the crash disk.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edgeform.lab.device import LabDevice, LabKind
from edgeform.lab.execution import Command, run, run_all, wait_until
from edgeform.lab.failure import LabError, LabMisused
from edgeform.lab.keys import ensure_key, known_hosts_line
from edgeform.lab.leftovers import machine_pid
from edgeform.lab.vm_guest import (
    STICK_BUS,
    X86_64,
    VmPlan,
    device_tree_commands,
    disk_command,
    qemu_command,
    seed_files,
)
from edgeform.lab.vm_initrd import seed_initrd
from edgeform.lab.vm_monitor import Monitor

STORE = "/var/lib/edgeform"
BOOT_TIMEOUT_S = 180.0
"""A boot took 12 s on an idle core and 50 s beside seven busy ones (2026-11)."""
PULL_TIMEOUT_S = 20.0


class Vm:
    """A machine with a real kernel, a real systemd and a real sshd, under emulation."""

    def __init__(
        self,
        plan: VmPlan,
        *,
        user_key: Path,
        ends_with_us: bool = False,
    ) -> None:
        """Name a machine; `create` makes its files, `boot` switches it on.

        Args:
            user_key: the lab's private key, which `root` and `edge` accept.
            ends_with_us: the kernel ends the machine with the thread that switched it on.
        """
        self.plan = plan
        self._user_key = user_key
        self._ends_with_us = ends_with_us
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def device(self) -> LabDevice:
        """The machine as edgeform sees it: a device like any other."""
        public = self._host_key.with_name("host_key.pub").read_text()
        return LabDevice(
            name=self.plan.name,
            kind=LabKind.VM,
            host="127.0.0.1",
            port=self.plan.port,
            user="edge",
            key_path=str(self._user_key),
            known_hosts_line=known_hosts_line("127.0.0.1", self.plan.port, public),
            prefix=STORE,
            root="/",
        )

    @property
    def is_on(self) -> bool:
        return bool(self._pid())

    @property
    def console_text(self) -> str:
        """The end of what the machine said on its serial line."""
        try:
            return self.plan.console.read_text(errors="replace")[-2000:]
        except OSError:
            return ""

    def create(self) -> None:
        """Make the machine's files: its disk, its keys, its device tree."""
        plan = self.plan
        plan.directory.mkdir(parents=True)
        public_key = ensure_key(self._user_key, comment="edgeform-lab")
        ensure_key(self._host_key, comment=plan.name)
        seed = seed_files(plan, public_key=public_key, host_key=self._host_key.read_bytes())
        plan.initrd.write_bytes(plan.base_initrd.read_bytes() + seed_initrd(seed))
        run(disk_command(plan))
        run_all(device_tree_commands(plan))
        line = f"{self.device.known_hosts_line}\n"
        (plan.directory / "known_hosts").write_text(line)

    def boot(self) -> None:
        """Switch it on and return when its sshd answers."""
        self._start(qemu_command(self.plan))
        self.wait_ready()

    def cut(self) -> None:
        """Take the power, at once."""
        if pid := self._pid():
            os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None
        wait_until(lambda: not self._pid(), what=f"{self.plan.name} to be off", timeout_s=20)

    def save(self, tag: str) -> None:
        """Keep memory and disk as they are now, to come back to; nothing may be plugged in."""
        with self.monitor() as monitor:
            monitor.tell_human(f"savevm {tag}")

    def restore(self, tag: str) -> None:
        """Come back to a saved state, whether the machine is on or off; its clock is then behind."""
        self.cut()
        self._start(qemu_command(self.plan, snapshot=tag))
        self.wait_ready()

    def wait_ready(self, *, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Return when the machine's sshd greets.

        Raises:
            LabError: it does not, with the end of the machine's console.
        """
        what = f"{self.plan.name} to answer on port {self.plan.port}"
        try:
            wait_until(lambda: self._greets() or not self.is_on, what=what, timeout_s=timeout_s)
        except LabError as exc:
            raise LabError(exc.detail, hint=self.console_text) from exc
        if not self.is_on:
            raise LabError(
                f"The machine {self.plan.name} ended while it booted.",
                hint=f"{self._said()}{self.console_text}",
            )

    def ssh_command(self, *, user: str = "root") -> Command:
        """OpenSSH's client for this machine; the command to run there follows as one word."""
        options = (
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.plan.directory / 'known_hosts'}",
            "GlobalKnownHostsFile=/dev/null",
            "ConnectTimeout=30",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "LogLevel=ERROR",
        )
        settings = (word for option in options for word in ("-o", option))
        login = ("-p", str(self.plan.port), "-i", str(self._user_key), f"{user}@127.0.0.1")
        return ("ssh", "-F", "/dev/null", *settings, *login)

    def exec(self, command: Command, *, stdin: bytes = b"", timeout_s: float = 120.0) -> str:
        """What a command printed that root ran in the machine; its own way in is SSH."""
        if not self.is_on:
            raise LabError(f"The machine {self.plan.name} is off.", hint="Switch it on first.")
        return run((*self.ssh_command(), shlex.join(command)), stdin=stdin, timeout_s=timeout_s)

    def plug(
        self, image: Path, *, name: str = "stick", writable: bool = True, bytes_per_s: int = 0
    ) -> None:
        """Put a USB stick into the machine; its bytes are those of a file here.

        Args:
            name: by which it is pulled again; also its serial number.
            bytes_per_s: how slow the stick is; 0: as fast as the file.
        """
        if self.plan.options.guest is not X86_64:
            raise LabMisused("Only the x86_64 machine has USB ports.")
        file = {"driver": "file", "filename": str(image.resolve()), "read-only": not writable}
        block: dict[str, object] = {"driver": "raw", "file": file, "read-only": not writable}
        with self.monitor() as monitor:
            if bytes_per_s:
                limits = {"bps-total": bytes_per_s}
                monitor.tell("object-add", qom_type="throttle-group", id=f"{name}-x", limits=limits)
                block = {"driver": "throttle", "throttle-group": f"{name}-x", "file": block}
            monitor.tell("blockdev-add", node_name=f"{name}-b", **block)
            monitor.tell(
                "device_add",
                driver="usb-storage",
                id=name,
                drive=f"{name}-b",
                bus=STICK_BUS,
                removable=True,
                serial=name,
            )

    def pull(self, name: str = "stick") -> None:
        """Take a stick out without asking anybody; its file is complete when this returns."""
        with self.monitor() as monitor:
            monitor.tell("device_del", id=name)
            monitor.wait_for("DEVICE_DELETED", device=name, timeout_s=PULL_TIMEOUT_S)
            monitor.tell("blockdev-del", node_name=f"{name}-b")
            with contextlib.suppress(LabError):  # only a slow stick has one
                monitor.tell("object-del", id=f"{name}-x")

    @contextlib.contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """A line to qemu itself; one at a time."""
        # Through the directory's descriptor: a socket's path may be no longer than 107 bytes.
        directory = os.open(self.plan.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            with Monitor(Path(f"/proc/self/fd/{directory}") / self.plan.monitor.name) as monitor:
                yield monitor
        finally:
            os.close(directory)

    @property
    def _host_key(self) -> Path:
        return self.plan.directory / "host_key"

    @property
    def _errors(self) -> Path:
        return self.plan.directory / "qemu.err"

    def _said(self) -> str:
        return self._errors.read_text(errors="replace")[-2000:] if self._errors.exists() else ""

    def _pid(self) -> int:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return machine_pid(self.plan.directory)

    def _start(self, command: Command) -> None:
        if self.is_on:
            raise LabMisused(f"The machine {self.plan.name} is on already.")
        self.plan.pid_file.unlink(missing_ok=True)
        leash = ("setpriv", "--pdeathsig", "KILL") if self._ends_with_us else ()
        with self._errors.open("wb") as errors:
            # Detached in every way: it outlives a caller who wants that, and holds nothing of his.
            self._process = process = subprocess.Popen(
                (*leash, *command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=self.plan.directory,
                start_new_session=True,
            )
        wait_until(
            lambda: self.is_on or process.poll() is not None,
            what=f"{self.plan.name} to start",
            timeout_s=30,
        )
        if process.poll() is not None:
            raise LabError(f"The machine {self.plan.name} did not start.", hint=self._said())

    def _greets(self) -> bool:
        """Whether sshd says its name; qemu takes connections long before the guest does."""
        try:
            with socket.create_connection(("127.0.0.1", self.plan.port), timeout=5) as connection:
                return connection.recv(256).startswith(b"SSH-")
        except OSError:
            return False
