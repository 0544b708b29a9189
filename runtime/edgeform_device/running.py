"""A process that the supervisor runs, as its pid file says, and how it is begun and ended."""

import fcntl
import json
import os
import signal
import time
from dataclasses import dataclass
from typing import Optional, Tuple

from edgeform_device.layout import Layout, check_name
from edgeform_wire.errors import WireError

WANT, PID, SHADOW, FAILED = ".want", ".pid", ".shadow.pid", ".failed"


@dataclass(frozen=True)
class Running:
    """A process by its pid and the kernel's start time, so that a pid used again is not mistaken.

    Args:
        token: which wish it fulfils; another token in the want file means: start anew.
    """

    pid: int
    started: str
    token: str

    def is_alive(self) -> bool:
        return bool(self.started) and start_time(self.pid) == self.started


def daemon_pid(layout: Layout) -> int:
    """The pid of the daemon that holds the lock; 0 when none does."""
    try:
        descriptor = os.open(lock_path(layout), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        pid = int(text) if text.isdigit() else 0
        # A daemon that has just taken the lock has not yet replaced the number of the one before.
        return pid if b"supervise" in command_line(pid) else 0
    else:
        return 0
    finally:
        os.close(descriptor)


def start_time(pid: int) -> str:
    """The kernel's start time of a process; empty when it is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def command_line(pid: int) -> bytes:
    """The arguments of a process, separated by NUL; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def end(running: Running, patience_s: float) -> None:
    """End a process and its session: asked first, then by force."""
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        _signal(running.pid, number)
        until = time.monotonic() + wait_s
        while running.is_alive():
            if time.monotonic() >= until:
                break
            reap(running.pid, os.WNOHANG)
            time.sleep(0.02)
        else:
            return


def _signal(pid: int, number: int) -> None:
    """To the whole group, or to the process alone while it does not lead one yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it ended by itself


def become(wanted: Tuple[str, ...], log: str) -> None:
    """In a forked child: lead a session, write to a log, and be the program. Never returns."""
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(wanted[0], wanted)  # noqa: S606  this is what a supervisor is for
    finally:
        os._exit(127)


def read_running(path: str) -> Optional[Running]:
    """The content of a want or pid file; None when there is none, or it is half written."""
    try:
        with open(path, encoding="ascii") as stream:
            value = json.loads(stream.read())
        return Running(int(value["pid"]), str(value["started"]), str(value["token"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_running(path: str, running: Running) -> None:
    """Not durable on purpose: nothing here means anything after a reboot."""
    tmp = path + ".tmp"
    with open(tmp, "w", encoding="ascii") as stream:
        json.dump(vars(running), stream)
    os.rename(tmp, path)


def read_failures(path: str, token: str) -> int:
    """How often what fulfils that wish ended by itself; nothing that an earlier wish suffered."""
    found = read_running(path)
    return found.pid if found is not None and found.token == token else 0


def write_failures(path: str, token: str, count: int) -> None:
    write_running(path, Running(count, "", token))


def control_files(folder: str) -> Tuple[str, ...]:
    found = []
    try:
        for entry in os.listdir(folder):
            name = entry.split(".want")[0].split(".shadow.pid")[0].split(".pid")[0]
            try:
                check_name(name)
            except WireError:
                continue
            found.append(entry)
    except FileNotFoundError:
        return ()
    return tuple(sorted(found))


def has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def reap(pid: int, options: int = 0) -> None:
    try:
        os.waitpid(pid, options)
    except ChildProcessError:
        pass  # another process's child, or reaped already


def unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # that is what was wanted


def lock_path(layout: Layout) -> str:
    return os.path.join(layout.supervisor_dir, "daemon.lock")
