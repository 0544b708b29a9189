"""Who is measured, and by what command: one tuple and one environment each."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet_lab import EDGEFORM, ROOT, BenchLab

PEERS = ROOT / "bench" / "peers"
BIN = Path(sys.executable).parent
MITOGEN = ROOT / "build" / "bench-peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A command to measure.

    Attributes:
        is_right: whether its output says that it did what was asked, on every device.
    """

    name: str
    argv: tuple[str, ...]
    is_right: Callable[[str], bool]
    stdin: Path | None = None
    settings: tuple[tuple[str, str], ...] = ()


def install_mitogen() -> None:
    """Into a folder of the build directory: it is no dependency of anything here."""
    requirements = PEERS / "requirements.txt"
    stamp = MITOGEN / requirements.name
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return
    command = (BIN / "uv", "pip", "install", "-q", "--no-deps", "--require-hashes", "--target")
    subprocess.run((*command, MITOGEN, "-r", requirements), check=True)
    stamp.write_text(requirements.read_text())


def planners(bench: BenchLab, count: int) -> tuple[Contender, ...]:
    """Looking at devices that are as they should be."""
    site, label = str(bench.site), f"of-{count}=yes-of-{count}"
    return (
        Contender(
            name="limit: our worker, python3 -c pass",
            argv=(sys.executable, str(ROOT / "bench/limit.py"), str(bench.file("limit", count))),
            is_right=lambda _: True,
        ),
        Contender(
            name="edgeform plan",
            argv=(str(EDGEFORM), "plan", "-l", label, site),
            is_right=lambda out: f"0 to change, {count} unchanged" in out,
        ),
        Contender(
            name="OpenSSH in parallel, python3 -c pass",
            argv=_openssh(bench, count),
            stdin=bench.file("hosts", count),
            is_right=lambda _: True,
        ),
        _pyinfra(bench, count, "noop.py", "--dry"),
        *_ansible(bench, count, "noop.yml", "--check"),
    )


def updaters(bench: BenchLab, count: int) -> tuple[Contender, ...]:
    """Bringing the newest model to devices that have an older one."""
    site, label = str(bench.site), f"of-{count}=yes-of-{count}"
    return (
        Contender(
            name="edgeform apply",
            argv=(str(EDGEFORM), "apply", "--yes", "-l", label, site),
            is_right=lambda out: len(re.findall(r"\bcommitted  +generation ", out)) == count,
        ),
        _pyinfra(bench, count, "update.py", "-y"),
        *_ansible(bench, count, "update.yml"),
    )


def _openssh(bench: BenchLab, count: int) -> tuple[str, ...]:
    options = (f"UserKnownHostsFile={bench.lab.known_hosts}", "IdentitiesOnly=yes", "BatchMode=yes")
    words = (word for option in options for word in ("-o", option))
    key = bench.first(1)[0].key_path
    remote = "sudo python3 -c pass"
    return ("xargs", "-P", str(count), "-I{}", "ssh", "-n", "-F", "/dev/null", *words, "-i", key,
            "{}", remote)  # fmt: skip


def _pyinfra(bench: BenchLab, count: int, deploy: str, how: str) -> Contender:
    data = (f"model={bench.model()}", "peer=pyinfra")
    return Contender(
        name="pyinfra deploy --dry" if how == "--dry" else "pyinfra deploy",
        argv=(
            str(BIN / "pyinfra"),
            how,
            *(w for d in data for w in ("--data", d)),
            str(bench.file("py", count)),
            str(PEERS / deploy),
        ),
        is_right=lambda _: True,
    )


def _ansible(bench: BenchLab, count: int, play: str, *flags: str) -> tuple[Contender, ...]:
    plugins = str(MITOGEN / "ansible_mitogen" / "plugins" / "strategy")
    ways: dict[str, tuple[tuple[str, str], ...]] = {
        "default": (),
        "pipelining": (("ANSIBLE_PIPELINING", "1"),),
        "mitogen": (
            ("ANSIBLE_STRATEGY", "mitogen_linear"),
            ("ANSIBLE_STRATEGY_PLUGINS", plugins),
            ("ANSIBLE_PIPELINING", "1"),
        ),
    }
    changed = "changed=0" if flags else r"changed=[23]"
    return tuple(
        Contender(
            name=f"Ansible {way}{' --check' if flags else ''}",
            argv=(
                str(BIN / "ansible-playbook"),
                *flags,
                "-f",
                str(count),
                "-i",
                str(bench.file("ini", count)),
                "-e",
                f"model={bench.model()}",
                "-e",
                f"name=ansible-{way}",
                str(PEERS / play),
            ),
            is_right=lambda out: (
                len(re.findall(rf"{changed} +unreachable=0 +failed=0", out)) == count
            ),
            settings=settings,
        )
        for way, settings in ways.items()
    )


def environment(contender: Contender, work: Path) -> dict[str, str]:
    """No configuration of this machine or its user; new SSH connections, as for everybody."""
    return os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(PEERS / "ansible.cfg"),
        "ANSIBLE_HOME": str(work / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": tempfile.mkdtemp(prefix="efb"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "LC_ALL": "C.UTF-8",
        **dict(contender.settings),
    }


def hang_up(settings: dict[str, str]) -> None:
    """End the connections that Ansible keeps for a minute after its end, outside the measurement."""
    folder = Path(settings["ANSIBLE_SSH_CONTROL_PATH_DIR"])
    for path in folder.iterdir():
        command = ("ssh", "-F", "/dev/null", "-o", f"ControlPath={path}", "-O", "exit", "any")
        subprocess.run(command, capture_output=True, check=False)
    # A master unlinks its socket when it is done, which may be after this.
    shutil.rmtree(folder, ignore_errors=True)
