"""The directory that is an unprivileged device: its home, its own root tree, its shims."""

import os
import shutil
import signal
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.execution import wait_until
from edgeform.lab.keys import ensure_key

MARKER = "EDGEFORM_LAB_DEVICE"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Without rights to give or take, sudo runs the command as it is; it never reads a password.
SUDO = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    -u|-g|-p|-C|-h|-r|-t|-D|-R|-T|-U) shift 2 ;;
    -v|-V|-l|-K|-k) [ $# -eq 1 ] && exit 0; shift ;;
    --) shift; break ;;
    -*) shift ;;
    *=*) export "$1"; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || exit 0
exec "$@"
"""

# Facts that change while one looks are links to the host's; the others are the device's own.
LIVE = ("proc/cpuinfo", "proc/loadavg", "proc/meminfo", "proc/stat", "proc/uptime", "proc/version")
COPIED = ("etc/os-release", "etc/debian_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class RootlessDirectory:
    """Where everything of one unprivileged device is."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def programs(self) -> Path:
        return self.path / "bin"

    @property
    def root(self) -> Path:
        return self.path / "root"

    @property
    def store(self) -> Path:
        return self.root / "var/lib/edgeform"

    @property
    def host_key(self) -> Path:
        return self.path / "host_key"

    @property
    def boot_id_file(self) -> Path:
        return self.root / "proc/sys/kernel/random/boot_id"

    def prepare(self) -> str:
        """Make the device, switched off; the public half of its host key."""
        for path in (self.home, self.programs, self.store, self.boot_id_file.parent):
            path.mkdir(parents=True, exist_ok=True)
        (self.root / "etc").mkdir(exist_ok=True)
        (self.root / "sys").mkdir(exist_ok=True)
        for relative in LIVE:
            link = self.root / relative
            if not link.is_symlink():
                link.symlink_to(f"/{relative}")
        for relative in COPIED:
            if Path("/", relative).exists():
                shutil.copy(Path("/", relative), self.root / relative)
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        shim = self.programs / "sudo"
        shim.write_text(SUDO)
        shim.chmod(0o755)
        if not shutil.which("python3", path=SYSTEM_PATH):
            (self.programs / "python3").symlink_to(os.path.realpath(sys.executable))
        return ensure_key(self.host_key, comment=self.name)

    def new_boot(self) -> None:
        """From now on this is another boot."""
        self.boot_id_file.write_text(f"{uuid.uuid4()}\n")

    def environment(self, user: str) -> dict[str, str]:
        """What every process of the device is started with."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.programs}:{SYSTEM_PATH}",
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            MARKER: str(self.path),
        }

    def processes(self) -> tuple[int, ...]:
        """Every process that began on this device, however it detached itself."""
        mark = f"{MARKER}={self.path}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # ended, or not ours
                continue
        return tuple(found)

    def kill_processes(self) -> None:
        """End everything that runs on the device, at once; return when nothing is left."""
        wait_until(self._killed, what=f"the processes of {self.name} to end", timeout_s=20)

    def _killed(self) -> bool:
        # Again and again: a process may fork while the others are being killed.
        left = self.processes()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left
