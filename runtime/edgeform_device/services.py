"""What both backends of services share: asking the runtime how it is, and the kernel what is left.

The contract is `ports.Services`; `systemd.py` and `supervisor.py` fulfil it, and one suite tests both.
"""

import os
from dataclasses import dataclass
from typing import Tuple

from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.layout import Layout

SOCKET_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Answering:
    """What the runtime says of itself: its phase and last error; an empty phase when it does not answer.

    Args:
        pid: of the process that listens, as the kernel says; 0 when nobody does.
        generation, content: what its live model is of, and what it is; 0 and empty where it does not say.
    """

    pid: int
    phase: str
    detail: str
    generation: int = 0
    content: str = ""


def answering(socket_path: str) -> Answering:
    """Who answers on a runtime's socket, and how it is."""
    pid = 0
    try:
        with Control(socket_path, SOCKET_TIMEOUT_S) as control:
            pid = control.peer_pid()
            state = control.state()
    except (RuntimeSilent, RuntimeRefused) as exc:
        return Answering(pid, "", exc.detail or exc.summary)
    slots = state.get("slots")
    live = slots.get("live") if isinstance(slots, dict) else None
    live = live if isinstance(live, dict) else {}
    generation, content = live.get("generation"), live.get("content")
    return Answering(
        pid,
        str(state.get("phase") or ""),
        str(state.get("last_error") or ""),
        generation=generation if type(generation) is int else 0,
        content=content if isinstance(content, str) else "",
    )


def is_of_unit(pid: int, unit: str) -> bool:
    """Whether a process is in that unit's control group: systemd put it there, and counts it as running."""
    if not pid:
        return False
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            return any(line.rstrip("\n").endswith("/" + unit) for line in stream)
    except OSError:
        return False


def available_bytes(root: str = "/") -> int:
    """MemAvailable: what could be had without swapping out what runs."""
    path = os.path.join(root, "proc/meminfo")
    try:
        with open(path, encoding="ascii") as stream:
            for line in stream:
                name, _, rest = line.partition(":")
                if name == "MemAvailable":
                    return int(rest.split()[0]) * 1024
    except (OSError, ValueError) as exc:
        raise Refused(f"{path} cannot be read.", str(exc)) from exc
    return 0


def make_results(disk: Disk, layout: Layout, name: str, owner: Tuple[int, int]) -> None:
    """The folder a pipeline may write, owned by the user it runs as."""
    path = layout.results(name)
    disk.mkdir(layout.results_dir)
    disk.mkdir(path, 0o750)
    found = os.stat(path)
    if (found.st_uid, found.st_gid) != owner and os.geteuid() == 0:
        os.chown(path, *owner)
