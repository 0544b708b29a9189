"""The supervisor's daemon: one per prefix, it keeps the wanted pipelines running without systemd.

It is told by files in its folder (`<name>.want`) and a signal, and tells by files (`<name>.pid`). A
daemon that is killed leaves its pipelines running; the next one takes them over by their pid files.
"""

import fcntl
import os
import signal
from typing import Dict, Tuple

from edgeform_device.layout import Layout, check_name
from edgeform_device.ports import Clock
from edgeform_device.running import (
    FAILED,
    PID,
    SHADOW,
    WANT,
    Running,
    become,
    control_files,
    end,
    lock_path,
    read_running,
    start_time,
    unlink,
    write_failures,
    write_running,
)

TURN_S = 1.0
STOP_S = 8.0
BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
HEALTHY_AFTER_S = 30.0
MAX_LOG_BYTES = 1024 * 1024


class Supervisor:
    """The daemon: makes what runs equal to what is wanted, for ever."""

    def __init__(self, layout: Layout, clock: Clock, tool: Tuple[str, ...]) -> None:
        self._layout = layout
        self._clock = clock
        self._tool = tool
        self._failures: Dict[str, int] = {}
        self._wishes: Dict[str, str] = {}
        self._not_before_s: Dict[str, float] = {}
        self._since_s: Dict[str, float] = {}

    def serve(self) -> None:
        """Take the lock, then work until SIGTERM; leave at once when another daemon has it."""
        os.makedirs(self._layout.supervisor_dir, mode=0o700, exist_ok=True)
        descriptor = os.open(lock_path(self._layout), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        signals = (signal.SIGHUP, signal.SIGCHLD, signal.SIGTERM)
        # Blocked before the lock: a client may signal as soon as it can see who holds it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        while True:
            self._turn()
            found = signal.sigtimedwait(signals, TURN_S)
            if found is not None and found.si_signo == signal.SIGTERM:
                self._end_all()
                return

    def _turn(self) -> None:
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        entries = control_files(self._layout.supervisor_dir)
        wanted = {e[: -len(WANT)] for e in entries if e.endswith(WANT)}
        having = {e[: -len(PID)] for e in entries if e.endswith(PID) and not e.endswith(SHADOW)}
        for name in sorted(having - wanted):
            self._stop(name)
        for name in sorted(wanted):
            self._keep(name)

    def _keep(self, name: str) -> None:
        wish = read_running(self._file(name, WANT))
        if wish is None or not wish.token.startswith(self._clock.boot_id() + ":"):
            return
        running = read_running(self._file(name, PID))
        is_alive = running is not None and running.is_alive()
        if self._wishes.get(name) != wish.token:
            # What an earlier wish suffered delays no new one, also where nothing runs by now.
            self._wishes[name] = wish.token
            self._failures.pop(name, None)
            self._not_before_s.pop(name, None)
        if running is not None and running.token != wish.token:
            self._stop(name)
        elif is_alive:
            return
        elif running is not None:
            self._note_failure(name, wish.token)
        if self._clock.boottime_s() >= self._not_before_s.get(name, 0.0):
            self._start(name, wish.token)

    def _note_failure(self, name: str, token: str) -> None:
        """It ended by itself: wait longer each time, and forget that when it has run for a while."""
        now = self._clock.boottime_s()
        if name in self._not_before_s and now < self._not_before_s[name]:
            return
        if now - self._since_s.get(name, now) > HEALTHY_AFTER_S:
            self._failures.pop(name, None)
        count = self._failures.get(name, 0)
        self._failures[name] = count + 1
        write_failures(self._file(name, FAILED), token, count + 1)
        self._not_before_s[name] = now + BACK_OFF_S[min(count, len(BACK_OFF_S) - 1)]
        unlink(self._file(name, PID))

    def _start(self, name: str, token: str) -> None:
        log = self._file(name, ".log")
        if os.path.exists(log) and os.path.getsize(log) > MAX_LOG_BYTES:
            os.rename(log, log + ".1")
        unlink(self._layout.socket(name))
        pid = os.fork()
        if pid == 0:
            become((*self._tool, "run", name), log)
        self._since_s[name] = self._clock.boottime_s()
        write_running(self._file(name, PID), Running(pid, start_time(pid), token))

    def _stop(self, name: str) -> None:
        running = read_running(self._file(name, PID))
        if running is not None and running.is_alive():
            end(running, STOP_S)
        unlink(self._file(name, PID))
        unlink(self._layout.socket(name))

    def _end_all(self) -> None:
        for entry in control_files(self._layout.supervisor_dir):
            if entry.endswith(PID) and not entry.endswith(SHADOW):
                self._stop(entry[: -len(PID)])

    def _file(self, name: str, suffix: str) -> str:
        return os.path.join(self._layout.supervisor_dir, check_name(name) + suffix)
