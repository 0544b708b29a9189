"""The models in the memory of a running pipeline, as its socket tells and changes them.

What a process says it holds is a claim. Nothing that has to survive is built on it: whoever starts the
process next reads `current`, and what is swapped here is judged by goldens before and after.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional

from edgeform_device import cgroup, services
from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.errors import DeviceError
from edgeform_device.layout import Layout

LIVE, CANDIDATE, PREVIOUS = "live", "candidate", "previous"
ASK_S = 5.0
LOAD_S = 150.0
"""An engine may compile for minutes; the service goes on meanwhile."""
FREE_S = 40.0
"""Longer than the runtime waits for the frames that are still on the model."""
WARM_RUNS = 2


@dataclass(frozen=True)
class Slot:
    """A model in memory.

    Args:
        content: digest of its pipeline file without the generation's name.
        grown_bytes: by how much the process grew when it was loaded and warmed up.
    """

    generation: int
    content: str
    grown_bytes: int


@dataclass(frozen=True)
class Held:
    """What a running pipeline has in memory; a slot that is not there is empty."""

    pid: int
    slots: Dict[str, Slot]

    def holds(self, slot: str, content: str) -> bool:
        return slot in self.slots and self.slots[slot].content == content


class RuntimeModels:
    """Asks the runtimes of one prefix."""

    def __init__(self, layout: Layout, root: str = "/") -> None:
        self._layout = layout
        self._root = root

    def held(self, name: str, *, is_shadow: bool = False) -> Optional[Held]:
        """What the running pipeline holds; None when it is not ready, or of a runtime that does not say."""
        try:
            with Control(self._layout.socket(name, is_shadow=is_shadow), ASK_S) as control:
                pid, state = control.peer_pid(), control.state()
        except (RuntimeSilent, RuntimeRefused):
            return None
        slots = state.get("slots")
        if state.get("phase") != "ready" or not isinstance(slots, dict):
            return None
        found = {name: _slot(value) for name, value in slots.items() if isinstance(value, dict)}
        return Held(pid, {n: s for n, s in found.items() if s is not None})

    def room_bytes(self, name: str) -> int:
        """What the running pipeline may still take: free on the device and below its group's limit."""
        free = services.available_bytes(self._root)
        try:
            with Control(self._layout.socket(name), ASK_S) as control:
                below = cgroup.headroom_bytes(control.peer_pid(), self._root)
        except RuntimeSilent:
            below = None
        return free if below is None else min(free, below)

    def load(self, name: str, number: int) -> None:
        """Load that generation's model as the candidate, and warm it up.

        Raises:
            DeviceError: the runtime refuses it, or does not answer in time.
        """
        path = self._layout.pipeline_file(number, name)[len(self._layout.prefix) :].lstrip("/")
        with Control(self._layout.socket(name), LOAD_S) as control:
            control.ask({"op": "load", "pipeline_file": path})
            control.ask({"op": "warm", "slot": CANDIDATE, "runs": WARM_RUNS})

    def swap(self, name: str, slot: str, content: str) -> None:
        """Make that slot live, if it holds just this; what was live is `previous` then.

        Raises:
            DeviceError: it does not, or the runtime does not answer.
        """
        with Control(self._layout.socket(name), FREE_S) as control:
            control.ask({"op": "swap", "slot": slot, "content": content})

    def free(self, name: str, slot: str) -> bool:
        """Give a slot's memory back once no frame is on it; False when that could not be asked or done."""
        try:
            with Control(self._layout.socket(name), FREE_S) as control:
                control.ask({"op": "free", "slot": slot})
        except DeviceError:
            return False
        return True


def _slot(value: Dict[str, Any]) -> Optional[Slot]:
    generation, content, grown = (value.get(n) for n in ("generation", "content", "grown_bytes"))
    if type(generation) is int and isinstance(content, str) and type(grown) is int:
        return Slot(generation, content, max(0, grown))
    return None
