"""Real OpenSSH servers on loopback, as whoever runs the tests; each ends with the test process."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

needs_sshd = SSHD is not None
WHY_NOT = "no OpenSSH server here: apt-get install openssh-server"


@dataclass
class SshServer:
    """One device: `with SshServer(directory) as device`; `inside` is a command that sshd is run by."""

    directory: Path
    extra_config: str = ""
    host_key_types: tuple[str, ...] = ("ed25519",)
    port: int = 0
    inside: tuple[str, ...] = ()
    client_key: Path = field(init=False)
    _process: subprocess.Popen | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.client_key = self.directory / "client_key"
        (self.directory / "home").mkdir(exist_ok=True)
        (self.directory / "bin").mkdir(exist_ok=True)

    @property
    def user(self) -> str:
        return getpass.getuser()

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def host_key(self, kind: str = "ed25519") -> str:
        """`ssh-ed25519 AAAA...`, as a site spec pins it."""
        words = (self.directory / f"host_{kind}.pub").read_text().split()
        return " ".join(words[:2])

    def known_hosts_line(self, kind: str = "ed25519") -> str:
        return f"[127.0.0.1]:{self.port} {self.host_key(kind)}\n"

    def make_keys(self) -> None:
        for kind in self.host_key_types:
            _keygen(self.directory / f"host_{kind}", kind)
        _keygen(self.client_key, "ed25519")

    def start(self) -> None:
        assert SSHD is not None
        self.make_keys()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.port = self.port or _free_port()
        config = self.directory / "sshd_config"
        config.write_text(self._config())
        self._process = subprocess.Popen(
            (
                "setpriv",
                "--pdeathsig",
                "TERM",
                *self.inside,
                SSHD,
                "-D",
                "-f",
                config,
                "-E",
                self.directory / "log",
            )
        )
        self._wait_until_it_listens()

    def stop(self) -> None:
        """End the listener and every session of it."""
        if self._process is None:
            return
        pids = self.processes()
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """TCP goes on acknowledging, and nobody answers."""
        for pid in self.processes():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)

    def kill_sessions(self) -> None:
        """End every connection, but not the listener."""
        assert self._process is not None
        for pid in self.processes():
            if pid != self._process.pid:
                _signal(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """The sshd processes: the listener and its sessions, not what they run."""
        assert self._process is not None
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, name, rest = _stat(stat.read_text())
            except OSError:
                continue
            if name.startswith("sshd"):
                children.setdefault(int(rest[1]), []).append(pid)
        found, queue = [], [self._process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children.get(pid, [])
        return found

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def put_program(self, name: str, text: str) -> Path:
        """A program on the device's PATH."""
        path = self.directory / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _config(self) -> str:
        keys = "".join(f"HostKey {self.directory}/host_{kind}\n" for kind in self.host_key_types)
        return (
            f"{self.extra_config}\n"
            f"Port {self.port}\nListenAddress 127.0.0.1\n{keys}"
            f"PidFile none\nAuthorizedKeysFile {self.client_key}.pub\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 200\n"
            f"SetEnv HOME={self.home} PATH={self.directory}/bin:/usr/local/bin:/usr/bin:/bin\n"
        )

    def _wait_until_it_listens(self) -> None:
        assert self._process is not None
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd ended: {self.log()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"sshd does not listen: {self.log()}")


def _keygen(path: Path, kind: str) -> None:
    if not path.exists():
        subprocess.run(("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", path), check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _stat(text: str) -> tuple[int, str, list[str]]:
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    return int(pid), name, tail.split()


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
