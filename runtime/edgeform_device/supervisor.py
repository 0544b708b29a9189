"""Pipelines without systemd, the client side: writes wishes, wakes the daemon, waits for their fulfilment.

Memory and CPU limits need a kernel's help that is not to be had here, so they are not enforced.
"""

import os
import signal
import time
from typing import Dict, Optional, Tuple

from edgeform_device import command, process, services
from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.health import Health
from edgeform_device.launch import RESTARTING, detach
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
    daemon_pid,
    end,
    has_ended,
    read_failures,
    read_running,
    reap,
    start_time,
    unlink,
    write_running,
)
from edgeform_wire.generation import Generation, PipelineUse

CHANGE_WITHIN_S = 15.0


class SupervisorServices:
    """The client side: writes wishes, wakes the daemon, waits until they are fulfilled.

    Args:
        tool: how this tool is run, up to the verb.
    """

    def __init__(self, disk: Disk, layout: Layout, clock: Clock, tool: Tuple[str, ...]) -> None:
        self._disk = disk
        self._layout = layout
        self._clock = clock
        self._tool = tool
        self._shadows: Dict[str, int] = {}

    def define(self, generation: Generation) -> None:
        """Make the folders that the pipelines write; limits need a kernel's help that is not there."""
        for use in generation.pipelines:
            owner = (os.geteuid(), os.getegid())
            services.make_results(self._disk, self._layout, use.name, owner)

    def start(self, names: Tuple[str, ...]) -> None:
        self._ensure_daemon()
        missing = [n for n in names if not self._is_wanted(n)]
        for name in missing:
            self._want(name)
        self._settle(tuple(missing))

    def restart(self, names: Tuple[str, ...]) -> None:
        self._ensure_daemon()
        for name in names:
            self._want(name)
        self._settle(names)

    def stop(self, names: Tuple[str, ...]) -> None:
        self._ensure_daemon()
        for name in names:
            unlink(self._file(name, WANT))
        self._settle(names)

    def known(self) -> Tuple[str, ...]:
        found = set()
        for entry in control_files(self._layout.supervisor_dir):
            for suffix in (WANT, PID):
                if entry.endswith(suffix) and not entry.endswith(SHADOW):
                    found.add(entry[: -len(suffix)])
        return tuple(sorted(found))

    def glance(self, name: str) -> Health:
        return self.health(name)  # it asks the kernel alone

    def health(self, name: str) -> Health:
        running = read_running(self._file(name, PID))
        failures = self._failures(name)
        if running is None or not running.is_alive():
            detail = self._last_words(name)
            return Health(name, is_active=False, pid=0, phase="", detail=detail, failures=failures)
        seen = services.answering(self._layout.socket(name))
        return Health(
            name,
            is_active=True,
            pid=running.pid,
            phase=seen.phase,
            detail=seen.detail,
            failures=failures,
            generation=seen.generation,
            content=seen.content,
        )

    def start_shadow(self, number: int, use: PipelineUse) -> int:
        unlink(self._layout.socket(use.name, is_shadow=True))
        arguments = ("run", use.name, "--generation", str(number), "--shadow")
        pid = os.fork()
        if pid == 0:
            become((*self._tool, *arguments), self._file(use.name, ".shadow.log"))
        self._shadows[use.name] = pid
        write_running(self._file(use.name, SHADOW), Running(pid, start_time(pid), ""))
        return pid

    def shadow_health(self, name: str) -> Health:
        pid = self._shadows.get(name, 0)
        if not pid or has_ended(pid):
            return Health(name, is_active=False, pid=0, phase="", detail="the shadow ended")
        seen = services.answering(self._layout.socket(name, is_shadow=True))
        return Health(name, is_active=True, pid=pid, phase=seen.phase, detail=seen.detail)

    def stop_shadow(self, name: str) -> None:
        running = read_running(self._file(name, SHADOW))
        if running is not None and running.is_alive():
            end(running, 1.0)
        pid = self._shadows.pop(name, 0)
        if pid:
            reap(pid)
        for path in (self._file(name, SHADOW), self._layout.socket(name, is_shadow=True)):
            unlink(path)

    def sweep_shadows(self) -> None:
        for entry in control_files(self._layout.supervisor_dir):
            if entry.endswith(SHADOW):
                self.stop_shadow(entry[: -len(SHADOW)])

    def available_bytes(self) -> int:
        return services.available_bytes()

    def resident_bytes(self, name: str) -> Optional[int]:
        running = read_running(self._file(name, PID))
        if running is None or not running.is_alive():
            return None
        return process.resident_bytes(running.pid)

    def reboot(self) -> None:
        command.run(("reboot",))

    def _file(self, name: str, suffix: str) -> str:
        return os.path.join(self._layout.supervisor_dir, check_name(name) + suffix)

    def _want(self, name: str) -> None:
        # Of this boot only: after a reboot recovery decides anew what shall run.
        token = f"{self._clock.boot_id()}:{self._clock.boottime_s():.6f}"
        write_running(self._file(name, WANT), Running(0, "", token))

    def _failures(self, name: str) -> int:
        wish = read_running(self._file(name, WANT))
        return 0 if wish is None else read_failures(self._file(name, FAILED), wish.token)

    def _is_wanted(self, name: str) -> bool:
        wish = read_running(self._file(name, WANT))
        return wish is not None and wish.token.startswith(self._clock.boot_id() + ":")

    def _ensure_daemon(self) -> None:
        """A daemon that listens; started now if there is none.

        Raises:
            Refused: it does not start.
        """
        folder = self._layout.supervisor_dir
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if daemon_pid(self._layout):
            return
        loop = ("/bin/sh", "-c", RESTARTING, "sh", *self._tool, "supervise")
        detach(loop, os.path.join(folder, "daemon.out"))
        until = time.monotonic() + CHANGE_WITHIN_S
        while not daemon_pid(self._layout):
            if time.monotonic() >= until:
                raise Refused("The supervisor of this prefix does not start.", folder)
            time.sleep(0.02)

    def _settle(self, names: Tuple[str, ...]) -> None:
        """Wake the daemon and wait until each of these runs as wanted, or not at all."""
        until = time.monotonic() + CHANGE_WITHIN_S
        pid = daemon_pid(self._layout)
        if pid:
            os.kill(pid, signal.SIGHUP)
        while not all(self._is_settled(name) for name in names):
            if time.monotonic() >= until:
                return  # health says what does not run; it is not for us to judge
            time.sleep(0.02)

    def _is_settled(self, name: str) -> bool:
        wish = read_running(self._file(name, WANT))
        running = read_running(self._file(name, PID))
        if wish is None:
            return running is None or not running.is_alive()
        return running is not None and running.token == wish.token

    def _last_words(self, name: str) -> str:
        try:
            with open(self._file(name, ".log"), "rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - 500))
                lines = stream.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return lines[-1][:300] if lines else ""
