"""Unprivileged devices as their user sees them: started, looked at, cut, ended."""

import getpass
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edgeform.lab.device import LabDevice, LabKind, checked_name, write_atomically
from edgeform.lab.execution import Command, Progress, run, silent, wait_until
from edgeform.lab.failure import LabError, LabMisused
from edgeform.lab.faults import Fault, write_fault
from edgeform.lab.keys import ensure_key, known_hosts_line
from edgeform.lab.leftovers import process_start
from edgeform.lab.rootless_device import RootlessDirectory
from edgeform.lab.rootless_state import STATE_FILE, RootlessState, read_state, write_state

START_TIMEOUT_S = 30.0
OWN_FILES = (STATE_FILE, "rootless.log", "known_hosts", "id_ed25519", "id_ed25519.pub")


class RootlessLab:
    """A lab of unprivileged devices in one directory, served by one process."""

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
            owner_pid: the process whose end is also the lab's; 0: it lives until `down`.
        """
        self._directory = directory.resolve()
        self._environment = environment
        self._owner_pid = owner_pid
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def known_hosts(self) -> Path:
        return self._directory / "known_hosts"

    def up(self, names: tuple[str, ...]) -> tuple[LabDevice, ...]:
        """Start a lab with one device per name and return when all of them answer."""
        if importlib.util.find_spec("asyncssh") is None:
            raise LabError(
                "Unprivileged devices need the Python package asyncssh, which is not installed.",
                hint="pip install 'edgeform[lab]'",
            )
        self.down()
        devices = self._directory / "devices"
        devices.mkdir(parents=True)
        ensure_key(self._directory / "id_ed25519", comment="edgeform-lab")
        for name in names:
            self._at(checked_name(name)).prepare()
        write_state(self._directory, RootlessState(names=names, token=secrets.token_hex(16)))
        command = (sys.executable, "-m", "edgeform.lab.rootless", str(self._directory))
        log = self._directory / "rootless.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                (*command, str(self._owner_pid)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=dict(self._environment),
            )
        self._process = process
        self._progress(f"starting {len(names)} unprivileged devices")
        wait_until(
            lambda: self._is_ready() or process.poll() is not None,
            what="the unprivileged devices to start",
            timeout_s=START_TIMEOUT_S,
        )
        if process.poll() is not None:
            raise LabError(
                "The process of the unprivileged devices ended at once.",
                hint=log.read_text(errors="replace")[-2000:],
            )
        started = self.devices()
        write_atomically(
            self.known_hosts, "".join(f"{device.known_hosts_line}\n" for device in started)
        )
        return started

    def attach(self) -> bool:
        """Whether a lab lives in this directory."""
        state = read_state(self._directory)
        return state is not None and state.pid > 0 and process_start(state.pid) == state.pid_start

    def devices(self) -> tuple[LabDevice, ...]:
        state = read_state(self._directory)
        if state is None:
            return ()
        return tuple(self._device(name, state.port_of(name)) for name in state.names)

    def is_on(self, name: str) -> bool:
        return self._ask("look", name)

    def boot(self, name: str) -> None:
        """Switch a device on: a new boot id, and its SSH answers again."""
        self._ask("boot", name)

    def cut(self, name: str) -> None:
        """Take the power: every process and every connection of the device ends at once."""
        self._ask("cut", name)

    def reboot(self, name: str) -> None:
        self.cut(name)
        self.boot(name)

    def boot_id(self, name: str) -> str:
        return self._at(name).boot_id_file.read_text().strip()

    def exec(
        self, name: str, command: Command, *, stdin: bytes = b"", timeout_s: float = 60.0
    ) -> str:
        """What a command printed that was run as a process of the device, not over SSH."""
        environment = self._at(name).environment(getpass.getuser())
        settings = (f"{key}={value}" for key, value in environment.items())
        return run(("env", "-i", *settings, *command), stdin=stdin, timeout_s=timeout_s)

    def set_fault(self, name: str, fault: Fault) -> None:
        """Let the device's SSH misbehave from the next connection on."""
        write_fault(self._at(name).path, fault)

    def down(self) -> None:
        """End the devices, every process of theirs, and remove their files."""
        state = read_state(self._directory)
        if state is not None and self.attach():
            os.kill(state.pid, signal.SIGTERM)
            wait_until(lambda: self._ended(state), what="the rootless lab to end", timeout_s=30)
        # Also after a server that was killed and could not end its devices itself.
        for name in state.names if state else ():
            self._at(name).kill_processes()
            shutil.rmtree(self._at(name).path, ignore_errors=True)
        devices = self._directory / "devices"
        if devices.is_dir() and not any(devices.iterdir()):
            devices.rmdir()
        for name in OWN_FILES:
            (self._directory / name).unlink(missing_ok=True)
        if self._directory.is_dir() and not any(self._directory.iterdir()):
            self._directory.rmdir()

    def _ended(self, state: RootlessState) -> bool:
        if self._process is not None:
            self._process.poll()  # takes the status of our child, where it is ours
        return process_start(state.pid) != state.pid_start

    def _is_ready(self) -> bool:
        state = read_state(self._directory)
        return state is not None and bool(state.ports)

    def _at(self, name: str) -> RootlessDirectory:
        return RootlessDirectory(path=self._directory / "devices" / name)

    def _ask(self, verb: str, name: str) -> bool:
        state = read_state(self._directory)
        if state is None or name not in state.names:
            known = ", ".join(state.names) if state else "none"
            raise LabMisused(f"The lab has no device {name!r}; it has: {known}.")
        asked = {"token": state.token, "verb": verb, "device": name}
        with socket.create_connection(("127.0.0.1", state.control_port), timeout=30) as line:
            line.sendall(json.dumps(asked).encode() + b"\n")
            answer = line.makefile().readline()
        if not answer:
            raise LabError(
                f"The process of the unprivileged devices could not {verb} {name}.",
                hint=(self._directory / "rootless.log").read_text(errors="replace")[-2000:],
            )
        return bool(json.loads(answer)["is_on"])

    def _device(self, name: str, port: int) -> LabDevice:
        directory = self._at(name)
        public = directory.host_key.with_name("host_key.pub").read_text()
        return LabDevice(
            name=name,
            kind=LabKind.ROOTLESS,
            host="127.0.0.1",
            port=port,
            user=getpass.getuser(),
            key_path=str(self._directory / "id_ed25519"),
            known_hosts_line=known_hosts_line("127.0.0.1", port, public),
            prefix=str(directory.store),
            root=str(directory.root),
        )
