"""What the control socket's operations do: state, load, warm, infer, swap, drain, free, and what
is kept and counted: dump, features, figures.
"""

import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from edgeform_runtime import model as models
from edgeform_runtime.arrays import DTYPES, Array, from_bytes, size_bytes, to_bytes
from edgeform_runtime.control import Header, Operation
from edgeform_runtime.drift import features_of
from edgeform_runtime.errors import (
    NeedsRestart,
    PipelineInvalid,
    RequestError,
    RuntimeFault,
)
from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics, resident_bytes
from edgeform_runtime.model import Answer, LoadedModel
from edgeform_runtime.recording.recorder import tensor_digest
from edgeform_runtime.slots import CANDIDATE, LIVE, PREVIOUS, Slots
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.witness import Witness
from edgeform_runtime.workers import Workers
from edgeform_wire import canonical
from edgeform_wire import pipeline as pipeline_file
from edgeform_wire.capture import REASONS
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MAX_WARM_RUNS = 10_000
MAX_PIPELINE_BYTES = 1024 * 1024
FREE_S = 30.0
PHASES = ("loading", "ready", "draining", "failed")


@dataclass
class Status:
    """What `state` tells beside the counters; set by the daemon and its threads."""

    phase: str = "loading"
    last_error: Optional[str] = None
    failure_was_read: threading.Event = field(default_factory=threading.Event)


def read_pipeline(prefix: str, path: str) -> pipeline_file.PipelineFile:
    """The pipeline file at a path relative to the prefix.

    Raises:
        PipelineInvalid: outside the prefix, missing, too large, or not the agreed form.
    """
    found = models.inside(prefix, path, "pipeline file")
    try:
        if os.path.getsize(found) > MAX_PIPELINE_BYTES:
            raise PipelineInvalid(f"pipeline file of more than {MAX_PIPELINE_BYTES} bytes")
        with open(found, "rb") as stream:
            return pipeline_file.decode(stream.read())
    except OSError as exc:
        raise PipelineInvalid(f"pipeline file cannot be read: {exc.strerror}") from exc
    except WireError as exc:
        raise PipelineInvalid(str(exc)) from exc


class Operations:
    """The daemon as the control socket sees it. Loading, swapping and freeing exclude each other."""

    def __init__(self, prefix: str, slots: Slots, status: Status, metrics: Metrics) -> None:
        self._prefix = prefix
        self._slots = slots
        self._status = status
        self._metrics = metrics
        self._changing = threading.Lock()
        self.workers: Optional[Workers] = None
        self.witness: Optional[Witness] = None

    def table(self) -> Mapping[str, Operation]:
        return {
            "state": self._state,
            "load": self._load,
            "warm": self._warm,
            "infer": self._infer,
            "swap": self._swap,
            "drain": self._drain,
            "free": self._free,
            "dump": self._dump,
            "features": self._features,
            "figures": self._figures,
        }

    def _state(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        _done(Fields(header, "state"), body)
        answer: Header = {
            "pid": os.getpid(),
            "generation": 0,
            "model_ref": "",
            "phase": self._status.phase,
            "frames": dict(self._metrics.frames()),
            "effective": None,
            "last_error": self._status.last_error,
            "slots": self._slots.to_json(),
            "thermal": None if self.workers is None else self.workers.governor.to_json(),
            "shadow": None if self.workers is None else self.workers.watcher.to_json(),
        }
        if self._slots.has(LIVE):
            with self._slots.using(LIVE) as model:
                answer["generation"] = model.file.generation
                answer["model_ref"] = model.file.model_ref
                answer["effective"] = model.session.effective().to_json()
        if self._status.phase == "failed":
            self._status.failure_was_read.set()
        return answer, []

    def _load(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        fields = Fields(header, "load")
        path = fields.text("pipeline_file")
        _done(fields, body)
        with self._changing:
            file = read_pipeline(self._prefix, path)
            with self._slots.using(LIVE) as live:
                _check_swappable(live, file)
            self._slots.free(
                CANDIDATE, FREE_S
            )  # first: there may be room for one more, not for two
            loaded = models.load(self._prefix, file)
            _check_stages(live, loaded)
            self._slots.put(CANDIDATE, loaded, FREE_S)
        log("info", "candidate_loaded", model_ref=file.model_ref, generation=file.generation)
        return {
            "slot": CANDIDATE,
            "model_ref": file.model_ref,
            "content": loaded.content,
            "effective": loaded.session.effective().to_json(),
        }, []

    def _warm(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        fields = Fields(header, "warm")
        slot, runs = fields.text("slot"), fields.integer("runs", 1)
        _done(fields, body)
        if runs > MAX_WARM_RUNS:
            raise RequestError(f"{runs} runs to warm up; {MAX_WARM_RUNS} are the most")
        with self._slots.using(slot) as model:
            return {"seconds": list(model.warm(runs))}, []

    def _infer(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        fields = Fields(header, "infer")
        slot = fields.text("slot")
        level = fields.choice("level", ("tensor", "encoded"))
        answer: Header = {}
        with self._slots.using(slot) as model:
            shown: Mapping[str, Array] = {}
            if level == "tensor":
                seen = Seen(feeds=tensors_of(fields, body))
                fields.done()
            else:
                shows_inputs = fields.boolean("shows_inputs", default=False)
                fields.done()
                seen = model.look(body)
                shown = seen.feeds if shows_inputs else {}
            inferred = self._count(model, seen.feeds)
            if level == "encoded":
                answer["result"], problem = _result_or_problem(model, inferred, seen)
                if problem:
                    answer["result_error"] = problem
                if self.witness is not None:
                    made = answer["result"] or {"problem": problem}
                    self.witness.answered(model, body, seen, inferred, made)
        answer["outputs"] = _descriptions(inferred.outputs)
        if shown:
            answer["inputs"] = _descriptions(shown)
        answer["wall_s"], answer["cpu_s"] = inferred.wall_s, inferred.cpu_s
        arrays = (*inferred.outputs.values(), *shown.values())
        return answer, [to_bytes(array) for array in arrays]

    def _dump(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        """Make a capture file of the frames that are kept; an empty name where the spec wants none."""
        fields = Fields(header, "dump")
        reason = fields.choice("reason", REASONS)
        detail = fields.text("detail", "")
        _done(fields, body)
        if self.witness is None or self.witness.recorder is None:
            raise RequestError("this pipeline records nothing: its spec has no `recording`")
        return dict(vars(self.witness.recorder.dump(reason, detail))), []

    def _features(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        """What drift is told by, of one encoded input: for the reference of a build."""
        fields = Fields(header, "features")
        slot = fields.text("slot")
        fields.done()
        with self._slots.using(slot) as model:
            steps = model.file.stages.get("preprocess", [])
            seen = model.look(body)
            return {
                "features": features_of(seen.feeds),
                "tensor_digest": tensor_digest(seen),
                "preprocess_digest": canonical.digest_of(steps),
            }, []

    def _figures(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        """What a person who watches wants to see, and what it costs to count anyhow."""
        _done(Fields(header, "figures"), body)
        answer, _ = self._state({}, b"")
        drift = None if self.witness is None else self.witness.drift.latest()
        answer["monotonic_s"] = round(time.monotonic(), 6)
        answer["recent"] = self._metrics.recent.figures()
        answer["drift"] = None if drift is None else drift.to_json()
        answer["resident_bytes"] = resident_bytes()
        answer["dropped"] = self._metrics.dropped.by("reason")
        return answer, []

    def _count(self, model: LoadedModel, feeds: Mapping[str, Array]) -> Answer:
        try:
            answer = model.infer(feeds)
        except RuntimeFault:
            self._metrics.requests.add(variant=model.variant, source="control", outcome="failed")
            raise
        self._metrics.requests.add(variant=model.variant, source="control", outcome="ok")
        return answer

    def _swap(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        fields = Fields(header, "swap")
        slot, content = fields.text("slot", CANDIDATE), fields.text("content", "")
        _done(fields, body)
        with self._changing:
            live = self._slots.swap(slot, content, FREE_S)
        log("info", "swapped", model_ref=live.file.model_ref, generation=live.file.generation)
        return {"model_ref": live.file.model_ref, "generation": live.file.generation}, []

    def _drain(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        fields = Fields(header, "drain")
        timeout_s = fields.number("timeout_s")
        _done(fields, body)
        if self._slots.has(PREVIOUS):
            drained = self._slots.wait_idle(PREVIOUS, timeout_s)
        else:
            # Nothing was swapped out: it is this process that shall come to rest.
            self._status.phase = "draining"
            drained = self.workers is None or self.workers.drain(timeout_s)
            drained = drained and self._slots.wait_idle(LIVE, timeout_s)
        if not drained:
            raise RequestError(f"frames are still in flight after {timeout_s:g} s", 503)
        return {"drained": True}, []

    def _free(self, header: Header, body: bytes) -> Tuple[Header, List[bytes]]:
        fields = Fields(header, "free")
        slot = fields.text("slot")
        _done(fields, body)
        if slot == LIVE:
            raise RequestError("the live slot is freed by swapping, or by stopping the process")
        if slot not in (CANDIDATE, PREVIOUS):
            raise RequestError(f"no slot {slot!r:.40}")
        with self._changing:
            return {"freed": self._slots.free(slot, FREE_S)}, []


def tensors_of(fields: Fields, body: bytes) -> Dict[str, Array]:
    """The tensors that stand in the body one after the other, as `inputs` describes them.

    Raises:
        RequestError: their sizes do not add up to the body's, or a name stands there twice.
    """
    found: Dict[str, Array] = {}
    view, at = memoryview(body), 0
    for name, dtype, shape in fields.each("inputs", _described):
        end = at + size_bytes(dtype, shape)
        if name in found:
            raise RequestError(f"input {name!r:.80} stands there twice")
        if end > len(view):
            raise RequestError(f"input {name!r:.80} needs {end} bytes, the body has {len(view)}")
        found[name] = from_bytes(view[at:end], dtype, shape)
        at = end
    if at != len(view):
        raise RequestError(f"the body has {len(view)} bytes, its tensors take {at}")
    return found


def _descriptions(arrays: Mapping[str, Array]) -> List[Dict[str, Any]]:
    return [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in arrays.items()
    ]


def _described(value: Any, what: str) -> Tuple[str, str, Tuple[int, ...]]:
    fields = Fields(value, what)
    found = (
        fields.text("name"),
        fields.choice("dtype", DTYPES),
        fields.each("shape", _extent),
    )
    fields.done()
    return found


def _extent(value: Any, what: str) -> int:
    if type(value) is not int or not 0 < value < 2**31:
        raise WireError(f"{what}: {value!r:.40} is not an extent")
    return value


def _done(fields: Fields, body: bytes) -> None:
    fields.done()
    if body:
        raise RequestError(f"a body of {len(body)} bytes where none belongs")


def _result_or_problem(
    model: LoadedModel, answer: Answer, seen: Seen
) -> Tuple[Optional[Dict[str, Any]], Optional[str]]:
    """The result, or why there is none: the raw tensors go to the tool in any case."""
    try:
        return model.result(answer, seen), None
    except RuntimeFault as exc:
        return None, exc.summary


def _check_swappable(live: LoadedModel, file: pipeline_file.PipelineFile) -> None:
    """A hot swap changes the model and the stages next to it, never the process around them."""
    if file.name != live.file.name:
        raise NeedsRestart(f"pipeline {file.name!r} is not the one that runs here")
    if (file.engine, file.runtime_tree) != (live.file.engine, live.file.runtime_tree):
        raise NeedsRestart("another runtime closure or engine needs a new process")
    if file.secrets != live.file.secrets:
        raise NeedsRestart("other secrets need a new process")


def _check_stages(live: LoadedModel, candidate: LoadedModel) -> None:
    parts = (
        "capture",
        "infer",
        "actions",
        "reports",
        "serving",
        "engine",
        "recording",
        "vocabulary",
        "thermal",
        "shadow",
    )
    for name in parts:
        if getattr(live.stages, name) != getattr(candidate.stages, name):
            candidate.close()
            raise NeedsRestart(f"another {name} stage needs a new process")
