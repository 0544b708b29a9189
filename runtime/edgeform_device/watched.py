"""What somebody who watches wants to see of this device now: generation, pipelines, temperature, memory.

Cheap on purpose: one question to each socket, a few small files, and neither hashing nor trust.
"""

import os
from typing import Any, Dict, List, Optional

from edgeform_device import generations
from edgeform_device.boottime import BootClock
from edgeform_device.cli import options
from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.errors import DeviceError
from edgeform_device.records import State
from edgeform_device.session import Session

ANSWER_S = 5.0
MAX_ZONES = 64
TOO_HOT_MC = 200_000
"""What a broken sensor says; no chip that still computes is so hot."""


def figures(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Counters and recent times of each pipeline, and how the machine is."""
    options(arguments, {})
    who = session.identity()
    state = State(session.disk, session.layout)
    committed, txn = state.committed(), state.txn()
    hands = state.needs_hands()
    names: List[str] = []
    current = None
    try:
        current = generations.current(session.disk, session.layout)
        if current is not None:
            content = generations.read(session.disk, session.layout, current)
            names = [use.name for use in content.pipelines]
    except DeviceError as exc:
        session.say(exc.summary)
    return {
        "device": who.device,
        "boottime_s": round(BootClock(who.root).boottime_s(), 3),
        "generation": current or 0,
        "committed": 0 if committed is None else committed.generation,
        "transaction": "" if txn is None else txn.id,
        "needs_hands": "" if hands is None else hands.reason,
        "pipelines": [_pipeline(session, name) for name in names],
        "machine": machine(session.root),
    }


def _pipeline(session: Session, name: str) -> Dict[str, Any]:
    try:
        with Control(session.layout.socket(name), ANSWER_S) as control:
            answer, _ = control.ask({"op": "figures"})
    except (RuntimeSilent, RuntimeRefused) as exc:
        said = exc.summary if not exc.detail else f"{exc.summary}: {exc.detail}"
        return {"name": name, "phase": "silent", "detail": said}
    fields = (
        *("phase", "generation", "model_ref", "frames", "dropped", "recent"),
        *("drift", "monotonic_s", "resident_bytes", "last_error"),
    )
    return dict({field: answer.get(field) for field in fields}, name=name)


def machine(root: str) -> Dict[str, Any]:
    """The hottest zone, the load of a minute, the memory that is left; None where the kernel is silent."""
    return {
        "temperature_c": _temperature_c(root),
        "load_1m": _load(root),
        "available_bytes": _available_bytes(root),
    }


def _temperature_c(root: str) -> Optional[float]:
    folder = os.path.join(root, "sys/class/thermal")
    try:
        zones = sorted(n for n in os.listdir(folder) if n.startswith("thermal_zone"))[:MAX_ZONES]
    except OSError:
        return None
    found = [_number(os.path.join(folder, zone, "temp")) for zone in zones]
    sane = [value for value in found if value is not None and 0 < value < TOO_HOT_MC]
    return round(max(sane) / 1000.0, 1) if sane else None


def _load(root: str) -> Optional[float]:
    try:
        return float(_text(os.path.join(root, "proc/loadavg")).split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _available_bytes(root: str) -> Optional[int]:
    try:
        lines = _text(os.path.join(root, "proc/meminfo")).splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "MemAvailable:" and words[1].isdigit():
            return int(words[1]) * 1024
    return None


def _number(path: str) -> Optional[int]:
    try:
        return int(_text(path).strip())
    except (OSError, ValueError):
        return None


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as stream:
        return stream.read(65536)
