"""A model with its stages around it: what a slot holds, from a frame's bytes to a result.

Everything a pipeline file can get wrong about its model (shape, type, labels, provider) is refused when
the slot is loaded, never at the first frame.
"""

import os
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.drift import reference_in
from edgeform_runtime.engines import engine_of
from edgeform_runtime.engines.base import Engine, EngineConfig, Session, TensorSpec
from edgeform_runtime.engines.quantised import to_integers, to_reals
from edgeform_runtime.errors import (
    FrameError,
    InferenceFailed,
    ModelRefused,
    PipelineInvalid,
    RuntimeFault,
)
from edgeform_runtime.metrics import resident_bytes
from edgeform_runtime.pipeline import Stages, stages_of
from edgeform_runtime.pipeline.beside import Companion
from edgeform_runtime.quota import allowed_threads
from edgeform_runtime.stages.contract import Postprocessor, Seen
from edgeform_runtime.stages.postprocessors import postprocessor_of
from edgeform_runtime.stages.preparation import Preparation, preparation_of
from edgeform_wire import canonical, digest
from edgeform_wire.pipeline import PipelineFile
from edgeform_wire.reference import Reference

AVERAGE_WEIGHT = 0.25


@dataclass(frozen=True)
class Answer:
    """Raw outputs by name, and the time the engine call took as this process sees it."""

    outputs: Dict[str, Array]
    wall_s: float
    cpu_s: float


class LoadedModel:
    """One slot's content. `infer` is serialised: the engine has the threads it was given, no more."""

    def __init__(
        self,
        file: PipelineFile,
        stages: Stages,
        engine: Engine,
        session: Session,
        postprocessor: Postprocessor,
        preparation: Preparation,
        reference: Optional[Reference] = None,
    ) -> None:
        self.reference = reference
        self.preparation = preparation
        self.file = file
        self.stages = stages
        self.engine = engine
        self.session = session
        self.postprocessor = postprocessor
        self._running = threading.Lock()
        self._idle = threading.Condition()
        self._users = 0
        self._is_single = stages.engine.threads == 1
        self.typical_s = float("inf")
        """Moving average of the engine's wall time."""
        self.grown_bytes = 0
        """By how much this process grew when the model was opened and warmed up."""
        self._content = file.content_digest

    @property
    def variant(self) -> str:
        return self.file.model_ref

    def to_json(self) -> Dict[str, Any]:
        """What a slot holds, as `state` tells it."""
        return {
            "generation": self.file.generation,
            "generation_digest": self.file.generation_digest,
            "model_ref": self.file.model_ref,
            "content": self._content,
            "grown_bytes": self.grown_bytes,
            "effective": self.session.effective().to_json(),
        }

    @property
    def content(self) -> str:
        """The digest of what the pipeline file says, but for the generation's name."""
        return self._content

    def acquire(self) -> None:
        """Count one more user; called by `Slots.using` only, under its lock."""
        with self._idle:
            self._users += 1

    def release(self) -> None:
        with self._idle:
            self._users -= 1
            self._idle.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether nobody uses the slot any more, waiting that long for it."""
        with self._idle:
            return self._idle.wait_for(lambda: self._users == 0, timeout_s)

    def infer(self, feeds: Mapping[str, Array]) -> Answer:
        """The engine's outputs for tensors as they stand.

        Raises:
            InferenceFailed: a missing or unknown input, a wrong type or shape, or the engine's refusal.
        """
        check_feeds(self.session.inputs, feeds)
        clock = time.thread_time if self._is_single else time.process_time
        with self._running:
            cpu, wall = clock(), time.perf_counter()
            outputs = self.session.infer(feeds)
            answer = Answer(outputs, time.perf_counter() - wall, clock() - cpu)
        before = min(self.typical_s, 2 * answer.wall_s)  # one slow run must not linger
        self.typical_s = before + (answer.wall_s - before) * AVERAGE_WEIGHT
        return answer

    def look(self, content: bytes) -> Seen:
        """The model's input for a file as it comes from the camera, and what it was made of.

        Raises:
            FrameError: the file cannot be decoded, or gives numbers that are none.
        """
        spec = self.session.inputs[0]
        prepared = self.preparation.prepare(content)
        _check_finite(prepared.tensor)
        return Seen(
            feeds={spec.name: _as_input(prepared.tensor, spec)},
            frame_px=prepared.frame_px,
            text=prepared.text,
            spans=prepared.spans,
        )

    def result(self, answer: Answer, seen: Seen) -> Dict[str, Any]:
        return self.postprocessor.result(to_reals(self.session.outputs, answer.outputs), seen)

    def warm(self, runs: int) -> Tuple[float, ...]:
        """Seconds of each of that many runs on zeros."""
        before = resident_bytes()
        feeds = {
            spec.name: np.zeros([max(1, extent) for extent in spec.shape], spec.dtype)
            for spec in self.session.inputs
        }
        seconds = tuple(self.infer(feeds).wall_s for _ in range(runs))
        self.grown_bytes += max(0, resident_bytes() - before)
        return seconds

    def close(self) -> None:
        with self._running:
            self.session.close()


def load(prefix: str, file: PipelineFile) -> LoadedModel:
    """The model of a pipeline file, opened and checked against the stages around it.

    Raises:
        PipelineInvalid, ModelRefused, EngineUnavailable: each says what does not fit.
    """
    stages = stages_of(file.stages)
    tree = inside(prefix, file.model_tree, "model_tree")
    engine = engine_of(file.engine)
    # From here on: the engine's own libraries are there once, however many models are.
    before = resident_bytes()
    session = engine.open(
        _entry(tree, engine.extensions),
        EngineConfig(
            threads=allowed_threads(stages.engine.threads),
            precision=stages.engine.precision,
            provider=stages.engine.provider,
            cache_dir=os.path.join(prefix, "derived"),
        ),
    )
    preparation = preparation_of(stages, tree)
    _check_edge(preparation, session)
    postprocessor = postprocessor_of(stages, tree, session.outputs)
    reference = reference_in(tree, canonical.digest_of(file.stages.get("preprocess", [])))
    loaded = LoadedModel(file, stages, engine, session, postprocessor, preparation, reference)
    loaded.grown_bytes = max(0, resident_bytes() - before)
    return loaded


def companion(prefix: str, file: PipelineFile, beside: Companion) -> LoadedModel:
    """A model beside the pipeline's own, with the same stages around it.

    Raises:
        PipelineInvalid, ModelRefused, EngineUnavailable: each says what does not fit.
    """
    tree = os.path.join("trees", digest.hex_of(beside.model))
    stages = file.stages
    if beside.precision:
        stages = {**stages, "runtime": {**stages["runtime"], "precision": beside.precision}}
    own = replace(file, model_tree=tree, model_ref=beside.model_ref, stages=stages)
    try:
        return load(prefix, own)
    except RuntimeFault as exc:
        raise PipelineInvalid(f"{beside.model_ref}: {exc.summary}") from exc


def inside(prefix: str, path: str, what: str) -> str:
    """The path below the prefix, links resolved.

    Raises:
        PipelineInvalid: it leads out of the prefix, or nothing is there.
    """
    base = os.path.realpath(prefix)
    found = os.path.realpath(os.path.join(base, path))
    if os.path.commonpath((base, found)) != base:
        raise PipelineInvalid(f"{what}: {path!r:.200} leads out of the prefix")
    if not os.path.exists(found):
        raise PipelineInvalid(f"{what}: {path!r:.200} is not there")
    return found


def _entry(tree: str, extensions: Tuple[str, ...]) -> str:
    """The model file: `model` with the engine's ending, else the only file that has it."""
    for extension in extensions:
        usual = os.path.join(tree, "model" + extension)
        if os.path.exists(usual):
            return usual
        others = sorted(name for name in os.listdir(tree) if name.endswith(extension))
        if len(others) == 1:
            return os.path.join(tree, others[0])
    raise ModelRefused(f"no model{' or model'.join(extensions)} in the model artifact")


def _check_edge(preparation: Preparation, session: Session) -> None:
    """Run an empty input through preprocessing and compare what comes out with what the model takes."""
    if len(session.inputs) != 1:
        names = ", ".join(spec.name for spec in session.inputs)
        raise PipelineInvalid(
            f"the model has {len(session.inputs)} inputs ({names}); a frame fills one"
        )
    try:
        tensor = preparation.sample()
        if tensor is not None:
            _as_input(tensor, session.inputs[0])
    except FrameError as exc:
        raise PipelineInvalid(f"preprocess does not fit the capture: {exc.summary}") from exc
    except InferenceFailed as exc:
        raise PipelineInvalid(f"preprocess does not fit the model: {exc.summary}") from exc


def _check_finite(tensor: Array) -> None:
    """Refuse a frame that a sensor or a file has filled with NaN: an INT8 net would answer plausibly.

    Raises:
        FrameError: not every number is finite.
    """
    if tensor.dtype.kind != "f" or np.isfinite(tensor.sum(dtype=np.float64)):
        return  # one sum tells, a fifth of the time of looking at each (640 x 640 x 3, 2 vCPU, 2026-11)
    if not np.isfinite(tensor).all():
        raise FrameError("the input has numbers that are not finite", "not_finite")


def _as_input(tensor: Array, spec: TensorSpec) -> Array:
    if tensor.dtype == np.float32 and spec.scale is not None:
        tensor = to_integers(tensor, spec)
    elif tensor.dtype == np.uint8 and spec.dtype in ("float32", "float16"):
        tensor = tensor.astype(spec.dtype)
    elif tensor.dtype == np.int64 and spec.dtype == "int32":
        tensor = tensor.astype(np.int32)  # token numbers are below 2^31
    elif tensor.dtype == np.float32 and spec.dtype == "float16":
        tensor = tensor.astype(np.float16)
    check_feeds((spec,), {spec.name: tensor})
    return tensor


def check_feeds(specs: Tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> None:
    """Compare tensors with what the model takes.

    Raises:
        InferenceFailed: names the tensor, what it is and what it should be.
    """
    unknown = sorted(set(feeds) - {spec.name for spec in specs})
    if unknown:
        raise InferenceFailed(f"the model has no input {unknown[0]!r:.80}")
    for spec in specs:
        found: Optional[Array] = feeds.get(spec.name)
        if found is None:
            raise InferenceFailed(f"input {spec.name!r} is missing")
        fits = len(found.shape) == len(spec.shape) and all(
            wanted in (-1, extent) for wanted, extent in zip(spec.shape, found.shape)
        )
        if found.dtype.name != spec.dtype or not fits:
            raise InferenceFailed(
                f"input {spec.name!r} is {found.dtype.name}{list(found.shape)},"
                f" the model takes {spec.dtype}{list(spec.shape)}"
            )
