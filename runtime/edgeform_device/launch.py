"""Starting the tool's own verbs so that they outlive the session that asked for them.

With systemd they are transient units of their own, outside the session's scope. Without it they are
detached processes in a session of their own.
"""

import os
import signal
from typing import Tuple

from edgeform_device import command
from edgeform_device.errors import Refused
from edgeform_device.layout import Layout

# As a shell loop, because a shell is there wherever a device boots, and it holds nothing that can fail.
RESTARTING = 'until "$@"; do sleep 1; done'


def kill_transaction(pid: int) -> None:
    """End a transaction process that no longer answers; a pid that is something else by now is spared."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            if b"transact" not in stream.read():
                return
        os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return


class SystemdLauncher:
    """Transient units.

    Args:
        tool: how this tool is run, up to the verb.
    """

    def __init__(self, tool: Tuple[str, ...]) -> None:
        self._tool = tool

    def start(self, unit: str, arguments: Tuple[str, ...], *, is_restarted: bool) -> None:
        service = unit + ".service"
        if command.attempt(("systemctl", "is-active", "--quiet", service))[0] == 0:
            return
        command.run(
            (
                "systemd-run",
                "--quiet",
                "--collect",
                f"--unit={unit}",
                f"--description=edgeform {' '.join(arguments[:1])}",
                *_properties(is_restarted=is_restarted),
                *self._tool,
                *arguments,
            )
        )

    def kill(self, pid: int) -> None:
        kill_transaction(pid)


def _properties(*, is_restarted: bool) -> Tuple[str, ...]:
    properties = [
        # The guard of a device that is out of memory is the last thing that should go.
        "OOMScoreAdjust=-900",
        "KillMode=process",
        "TimeoutStopSec=5",
    ]
    if is_restarted:
        # Whatever ends it, it comes back; only leaving with 0 is the end.
        properties += [
            "Restart=always",
            "RestartSec=300ms",
            "RestartPreventExitStatus=0",
            "StartLimitIntervalSec=0",
        ]
    return tuple(f"--property={p}" for p in properties)


class DetachedLauncher:
    """Detached processes, for devices without systemd; what they say goes to a file per unit."""

    def __init__(self, tool: Tuple[str, ...], layout: Layout) -> None:
        self._tool = tool
        self._layout = layout

    def start(self, unit: str, arguments: Tuple[str, ...], *, is_restarted: bool) -> None:
        wanted = (*self._tool, *arguments)
        if is_restarted:
            wanted = ("/bin/sh", "-c", RESTARTING, "sh", *wanted)
        folder = self._layout.supervisor_dir
        os.makedirs(folder, mode=0o700, exist_ok=True)
        detach(wanted, os.path.join(folder, unit + ".log"))

    def kill(self, pid: int) -> None:
        kill_transaction(pid)


def detach(wanted: Tuple[str, ...], log: str) -> None:
    """Run a program that has no parent, no terminal and no descriptor of ours.

    Raises:
        Refused: it cannot be run.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _become(wanted, log, tell)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told, "rb") as stream:
        said = stream.read()
    if said:
        raise Refused(f"{wanted[0]} cannot be run.", said.decode("utf-8", "replace"))


def _become(wanted: Tuple[str, ...], log: str, tell: int) -> None:
    """In the child: leave the session, lose the parent, and be the program. Never returns."""
    try:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(nothing, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir("/")
        for descriptor in _open_descriptors():
            # The pipe stays open until exec succeeds, and closes then: silence is success.
            if descriptor > 2 and descriptor != tell:
                _close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(wanted[0], wanted)  # noqa: S606  detaching is what this is for
    except BaseException as exc:  # noqa: BLE001 - a forked child must never return into its parent's code
        os.write(tell, f"{type(exc).__name__}: {exc}".encode()[:500])
        os._exit(1)


def _open_descriptors() -> Tuple[int, ...]:
    try:
        return tuple(int(name) for name in os.listdir("/proc/self/fd"))
    except OSError:
        return tuple(range(3, 256))


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass  # it was the directory listing's own
