"""The live model, the candidate beside it, and the one that was live before: hot swap in steps.

load -> warm -> (goldens, judged by the device tool) -> swap -> drain -> free. A swap is one assignment
under a lock; requests in flight finish on the model they started with. Until it is freed the model that
was live before can be swapped back in the same way.
"""

import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator

from edgeform_runtime.errors import RequestError
from edgeform_runtime.model import LoadedModel
from edgeform_wire.companions import SHADOW, SMALLER

LIVE, CANDIDATE, PREVIOUS = "live", "candidate", "previous"
NAMES = (LIVE, CANDIDATE, PREVIOUS, SMALLER, SHADOW)
"""The last two are companions: they stay as long as the process, and are never live."""


class Slots:
    def __init__(self) -> None:
        self._models: Dict[str, LoadedModel] = {}
        self._lock = threading.Lock()

    @contextmanager
    def using(self, slot: str) -> Iterator[LoadedModel]:
        """The slot's model, which is not freed while it is in use.

        Raises:
            RequestError: the slot is empty, or there is no such slot.
        """
        with self._lock:
            model = self._get(slot)
            model.acquire()
        try:
            yield model
        finally:
            model.release()

    def has(self, slot: str) -> bool:
        with self._lock:
            return slot in self._models

    def put(self, slot: str, model: LoadedModel, timeout_s: float) -> None:
        """Fill the slot; a model that stood there is freed."""
        self.free(slot, timeout_s)
        with self._lock:
            self._models[slot] = model

    def to_json(self) -> Dict[str, Dict[str, Any]]:
        """What each filled slot holds."""
        with self._lock:
            return {name: model.to_json() for name, model in self._models.items()}

    def swap(self, slot: str, content: str, timeout_s: float) -> LoadedModel:
        """Make what a slot holds live and give it; what was live stands as `previous` until it is freed.

        Args:
            slot: `candidate`, or `previous` to go back.
            content: digest of what must stand there; empty where it does not matter.

        Raises:
            RequestError: the slot is empty, or something else stands there.
        """
        if slot not in (CANDIDATE, PREVIOUS):
            raise RequestError(f"slot {slot!r:.40} cannot be made live")
        with self._lock:
            self._expect(slot, content)
        if slot == CANDIDATE:
            self.free(PREVIOUS, timeout_s)
        with self._lock:
            wanted = self._expect(slot, content)
            del self._models[slot]
            before = self._models.get(LIVE)
            self._models[LIVE] = wanted
            if before is not None:
                self._models[PREVIOUS] = before
            return wanted

    def free(self, slot: str, timeout_s: float) -> bool:
        """Whether there was something to free; waits for its users to finish.

        Raises:
            RequestError: it is still in use after the timeout.
        """
        with self._lock:
            model = self._models.pop(slot, None)
        if model is None:
            return False
        if not model.wait_idle(timeout_s):
            with self._lock:
                self._models.setdefault(slot, model)
            raise RequestError(f"slot {slot} is still in use after {timeout_s:g} s", 503)
        model.close()
        return True

    def wait_idle(self, slot: str, timeout_s: float) -> bool:
        with self._lock:
            model = self._models.get(slot)
        return model is None or model.wait_idle(timeout_s)

    def _expect(self, slot: str, content: str) -> LoadedModel:
        model = self._get(slot)
        if content and model.content != content:
            raise RequestError(
                f"slot {slot} holds {model.file.model_ref}, which is not what is wanted"
            )
        return model

    def _get(self, slot: str) -> LoadedModel:
        if slot not in NAMES:
            raise RequestError(f"no slot {slot!r:.40}; there are {', '.join(NAMES)}")
        model = self._models.get(slot)
        if model is None:
            raise RequestError(f"slot {slot} is empty", 503)
        return model
