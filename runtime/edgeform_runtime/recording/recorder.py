"""The ring of recent frames with their answers, and what makes a file of it.

Bounded in frames and bytes; masked before anything is put in. Files are made on a thread of its own, so that
inference never waits for a disk, and stay on the device: nothing here sends anything anywhere.
"""

import hashlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, BinaryIO, Deque, Dict, Optional, Tuple

from edgeform_runtime import VERSION
from edgeform_runtime.arrays import to_bytes
from edgeform_runtime.drift import Drift
from edgeform_runtime.errors import FrameError, RequestError
from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.model import Answer, LoadedModel
from edgeform_runtime.pipeline.action import Trigger
from edgeform_runtime.pipeline.recording import Recording
from edgeform_runtime.recording.files import Files
from edgeform_runtime.recording.masks import masked
from edgeform_runtime.stages.action.gate import Gate
from edgeform_runtime.stages.contract import Place, Seen
from edgeform_wire import canonical, capture, edges
from edgeform_wire import digest as digests
from edgeform_wire.capture import About, Kept, Output
from edgeform_wire.errors import WireError
from edgeform_wire.rules import Vocabulary

PRUNE_EVERY_S = 3600.0
ONE_FAILURE_S = 60.0
"""A check that fails and the rollback that follows are one story, and one file."""
FAILURES = ("gate_failure", "rollback")
_RECORD_BYTES = 2048
"""About what a frame's record takes beside its bytes."""


@dataclass(frozen=True)
class Dumped:
    """A capture that was made; an empty name where there was nothing to keep."""

    name: str
    size_bytes: int
    frames: int


@dataclass(frozen=True)
class Taken:
    """A frame that was answered: what the ring is told of it."""

    sequence: int
    name: str
    source: str
    captured_at: float
    captured: float
    content: bytes


class Recorder:
    """One pipeline's ring.

    Raises:
        RuleError: from the constructor, for a rule that `stages_of` would have refused.
    """

    def __init__(
        self, stage: Recording, place: Place, metrics: Metrics, vocabulary: Vocabulary
    ) -> None:
        self._stage, self._place, self._metrics = stage, place, metrics
        self._files = Files(place.prefix, place.pipeline, stage)
        self._ring: Deque[Tuple[capture.Model, Kept]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wanted: Optional[Tuple[str, str]] = None
        self._wake, self._ending = threading.Event(), threading.Event()
        self._quiet_until = self._failed_until = 0.0
        self._models: Dict[int, Tuple[LoadedModel, capture.Model]] = {}
        rule = stage.when
        self._gate = None
        if rule is not None:
            trigger = Trigger(when=rule, for_s=0.0, cooldown_s=stage.cooldown_s)
            self._gate = Gate(trigger, vocabulary)
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Make files of the ring when a trigger asks for it."""
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def add(
        self, model: LoadedModel, taken: Taken, seen: Seen, answer: Answer, result: Dict[str, Any]
    ) -> None:
        """Keep a frame and its answer; ask for a file where the rule holds."""
        try:
            content = masked(taken.content, self._stage.mask)
        except FrameError as exc:
            # What cannot be read cannot be masked, so it is not kept.
            self._metrics.recorded.add(outcome="unmaskable")
            log("warning", "frame_not_kept", frame=taken.name, reason=exc.summary)
            return
        kept = Kept(
            sequence=taken.sequence,
            name=taken.name,
            source=taken.source,
            captured_at=round(taken.captured_at, 6),
            is_masked=bool(self._stage.mask),
            tensor_digest=tensor_digest(seen),
            result=result,
            infer_s=round(answer.wall_s, 6),
            content=content,
            outputs=tuple(
                Output(name, array.dtype.name, tuple(array.shape), to_bytes(array))
                for name, array in answer.outputs.items()
            ),
        )
        size = kept.size_bytes + _RECORD_BYTES
        if size > self._stage.ring_bytes:
            self._metrics.recorded.add(outcome="too_large")
            return
        with self._lock:
            self._ring.append((self._described(model), kept))
            self._bytes += size
            while self._bytes > self._stage.ring_bytes or len(self._ring) > self._stage.frames:
                _, gone = self._ring.popleft()
                self._bytes -= gone.size_bytes + _RECORD_BYTES
        self._metrics.recorded.add(outcome="ok")
        is_frame = taken.source == "capture"  # a golden is no sign of what happens here
        if is_frame and self._gate is not None and self._gate.opens(result, taken.captured):
            self._ask("rule", self._stage.when or "")

    def drifted(self, drift: Drift) -> None:
        """Ask for a file where the inputs have moved further than the spec allows."""
        limit = self._stage.drift_above
        if limit is not None and drift.psi > max(limit, drift.chance_level):
            self._ask("drift", f"PSI of {drift.feature} is {drift.psi:.3f}, above {limit:g}")

    def dump(self, reason: str, detail: str) -> Dumped:
        """A file of what the ring holds now.

        Raises:
            RequestError: nothing is in the ring, or the disk does not take it.
        """
        if reason in FAILURES:
            now = time.monotonic()
            if not self._stage.on_failure or now < self._failed_until:
                return Dumped("", 0, 0)
            self._failed_until = now + ONE_FAILURE_S
        with self._lock:
            ring, size = tuple(self._ring), self._bytes
        if not ring:
            raise RequestError("no frame has been answered yet, so there is nothing to capture")

        def write(stream: BinaryIO) -> None:
            self._write(stream, ring, reason, detail)

        try:
            with self._writing:
                name, written = self._files.put(reason, size, write)
        except (OSError, WireError) as exc:
            said = getattr(exc, "strerror", None) or str(exc)
            self._metrics.captures.add(reason=reason, outcome="failed")
            log("error", "capture_failed", reason=reason, detail=said)
            raise RequestError(f"the capture was not written: {said}", 503) from exc
        self._metrics.captures.add(reason=reason, outcome="ok")
        log("info", "captured", file=name, reason=reason, frames=len(ring), size_bytes=written)
        return Dumped(name, written, len(ring))

    def _write(
        self,
        stream: BinaryIO,
        ring: Tuple[Tuple[capture.Model, Kept], ...],
        reason: str,
        detail: str,
    ) -> None:
        writer = capture.Writer(stream)
        writer.about(
            About(
                site=self._place.site,
                device=self._place.device,
                pipeline=self._place.pipeline,
                reason=reason,
                detail=detail[:500],
                made_at=round(time.time(), 3),
                runtime_version=VERSION,
                masks=self._stage.mask.to_json(),
            )
        )
        last: Optional[capture.Model] = None
        for model, kept in ring:
            if model is not last:
                writer.model(model)
                last = model
            writer.kept(kept)
        writer.end()

    def _described(self, model: LoadedModel) -> capture.Model:
        known = self._models.get(id(model))
        if known is None or known[0] is not model:
            # The model is held beside its description, so that its identity goes to no other one.
            known = self._models[id(model)] = (model, describe(model))
            while len(self._models) > 2:
                del self._models[next(iter(self._models))]
        return known[1]

    def _ask(self, reason: str, detail: str) -> None:
        now = time.monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + self._stage.cooldown_s
        self._wanted = (reason, detail)
        self._wake.set()

    def _run(self) -> None:
        pruned = 0.0
        while not self._ending.is_set():
            if time.monotonic() - pruned >= PRUNE_EVERY_S or not pruned:
                pruned = time.monotonic()
                self._prune()
            self._wake.wait(PRUNE_EVERY_S)
            self._wake.clear()
            wanted, self._wanted = self._wanted, None
            if wanted is not None:
                try:
                    self.dump(*wanted)
                except RequestError:
                    continue  # it has been counted and logged

    def _prune(self) -> None:
        try:
            self._files.prune()
        except OSError as exc:
            log("error", "captures_not_pruned", detail=exc.strerror or str(exc))


def describe(model: LoadedModel) -> capture.Model:
    """What answers here, without anything that names a place or a person: only what a replay needs."""
    file = model.file
    stages = file.stages
    steps = stages.get("preprocess", [])
    return capture.Model(
        generation=file.generation,
        generation_digest=file.generation_digest,
        model_ref=file.model_ref,
        model_digest=_digest_of_tree(file.model_tree),
        runtime_digest=_digest_of_tree(file.runtime_tree),
        engine=model.engine.name,
        engine_version=model.engine.version,
        effective=model.session.effective().to_json(),
        preprocess_digest=canonical.digest_of(steps),
        stages={
            "media": edges.media_of(stages["capture"]),
            "preprocess": steps,
            "infer": stages.get("infer", {}),
            "postprocess": stages["postprocess"],
            "runtime": stages.get("runtime", {}),
        },
    )


def _digest_of_tree(path: str) -> Optional[str]:
    """The digest of the artifact whose tree this is: its folder's name says it."""
    try:
        return digests.parse(digests.PREFIX + os.path.basename(path))
    except WireError:
        return None


def tensor_digest(seen: Seen) -> str:
    """Of what the model was given: tells a change in preprocessing from one in the engine."""
    hasher = hashlib.sha256()
    for array in seen.feeds.values():
        hasher.update(to_bytes(array))
    return digests.PREFIX + hasher.hexdigest()
