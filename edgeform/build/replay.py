"""A capture run again: every frame through a model in the real runtime here, compared with what was recorded.

Bit by bit where engine, closure and processor allow; else by the tolerances that goldens are judged by. The
comparison is the device tool's own code, not the runtime's.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgeform.build.failure import ModelUnusable
from edgeform.build.shadow import TREE, RuntimeProcess, shadow
from edgeform_device import tensors
from edgeform_device.control import Control, RawTensor, RuntimeRefused
from edgeform_device.goldens import LOOSE, TIGHT
from edgeform_wire.artifact import Artifact
from edgeform_wire.capture import Kept, Model


class Verdict(StrEnum):
    """How an answer here compares with the one it is held against."""

    IDENTICAL = "identical"
    CLOSE = "close"
    DIFFERENT = "different"
    FAILED = "failed"
    MASKED = "masked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What runs the frames again.

    Args:
        tree: the model's folder. precision: how narrowly it computes, which says how close is close.
    """

    tree: Path
    engine: str
    precision: str
    runtime: RuntimeProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came out for one frame; `error` is why nothing did."""

    outputs: tuple[RawTensor, ...] = ()
    result: Mapping[str, Any] | None = None
    tensor_digest: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One frame's difference.

    Args:
        is_input_same: whether the model was given the same tensor; None where that cannot be told.
        max_relative, sqnr_db: the worst output; None where nothing could be compared number by number.
    """

    verdict: Verdict
    is_result_same: bool
    is_input_same: bool | None
    max_relative: float | None = None
    sqnr_db: float | None = None
    detail: str = ""


def stages_for(model: Model) -> dict[str, object]:
    """Stages that run a capture's frames as the pipeline did, without its source, actions and reports."""
    kept = model.stages
    return {
        "capture": {"kind": "http_push", "payload": kept["media"]},
        "preprocess": kept["preprocess"],
        "infer": kept["infer"],
        "postprocess": kept["postprocess"],
        "action": [],
        "report": [],
        "runtime": kept["runtime"],
    }


def rerun(subject: Subject, model: Model, frames: Sequence[Kept]) -> Iterator[Answer]:
    """What the subject answers to each frame, in order.

    Raises:
        ModelUnusable: the runtime refuses the model with these stages. BuildFailed: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="edgeform-replay-") as work:
        shutil.copytree(subject.tree, Path(work, TREE))
        with (
            shadow(
                Path(work),
                engine=subject.engine,
                stages=stages_for(model),
                runtime=subject.runtime,
            ) as running,
            Control(running.socket_path) as control,
        ):
            for frame in frames:
                yield _answer(control, frame)


def _answer(control: Control, frame: Kept) -> Answer:
    try:
        found = control.infer_encoded("live", frame.content)
    except RuntimeRefused as exc:
        return Answer(error=exc.detail or exc.summary)
    return Answer(
        outputs=found.outputs,
        result=found.result if isinstance(found.result, dict) else None,
        tensor_digest=_tensor_digest(control, frame),
    )


def _tensor_digest(control: Control, frame: Kept) -> str:
    try:
        answer, _ = control.ask({"op": "features", "slot": "live"}, frame.content)
    except RuntimeRefused:
        return ""  # an older runtime does not tell
    return str(answer.get("tensor_digest", ""))


def recorded(frame: Kept) -> Answer:
    """What the device answered, as a capture has it."""
    return Answer(
        outputs=tuple(RawTensor(o.name, o.dtype, o.shape, o.content) for o in frame.outputs),
        result=frame.result,
        tensor_digest=frame.tensor_digest,
    )


def compare(then: Answer, now: Answer, *, precision: str, is_same_model: bool) -> Compared:
    """How the answer now differs from the one then.

    Args:
        precision: of what answered now. is_same_model: judge tightly, as goldens of the same variant are.
    """
    if now.error:
        return Compared(
            verdict=Verdict.FAILED, is_result_same=False, is_input_same=None, detail=now.error
        )
    same_result = then.result == now.result
    known = bool(then.tensor_digest and now.tensor_digest)
    same_input = then.tensor_digest == now.tensor_digest if known else None
    if then.outputs == now.outputs:
        return Compared(
            verdict=Verdict.IDENTICAL if same_result else Verdict.DIFFERENT,
            is_result_same=same_result,
            is_input_same=same_input,
            max_relative=0.0,
            detail="" if same_result else "the same outputs are postprocessed differently",
        )
    before = {o.name: o for o in then.outputs}
    forms = {(o.name, o.dtype, o.shape) for o in now.outputs}
    if forms != {(o.name, o.dtype, o.shape) for o in then.outputs}:
        return Compared(
            verdict=Verdict.CLOSE if same_result and not is_same_model else Verdict.DIFFERENT,
            is_result_same=same_result,
            is_input_same=same_input,
            detail="other outputs: only results are compared",
        )
    limit, least_db = (TIGHT if is_same_model else LOOSE).get(precision, LOOSE["int8"])
    worst, sqnr_db, is_finite = 0.0, float("inf"), True
    for output in now.outputs:
        got, want = tensors.values(output), tensors.values(before[output.name])
        if not tensors.is_finite(got) or not tensors.is_finite(want):
            is_finite = False
            continue
        found = tensors.deviation(got, want, limit)
        worst, sqnr_db = max(worst, found.max_relative), min(sqnr_db, found.sqnr_db)
    is_close = is_finite and worst <= limit and sqnr_db >= least_db
    return Compared(
        verdict=Verdict.CLOSE if is_close else Verdict.DIFFERENT,
        is_result_same=same_result,
        is_input_same=same_input,
        max_relative=worst,
        sqnr_db=sqnr_db if sqnr_db != float("inf") else None,
        detail="" if is_finite else "an output is not finite",
    )


def materialise(artifact: Artifact, object_path: Callable[[str], Path], folder: Path) -> None:
    """Copy the files of an artifact below a folder; `object_path` says where each digest lies.

    Raises:
        ModelUnusable: one of its files is not here.
    """
    for file in artifact.files:
        source = object_path(file.digest)
        if not source.is_file():
            raise ModelUnusable(
                f"{file.path} of {artifact.name}@{artifact.version} is not in the store.",
                hint="Bring it here with:\n    edgeform store pull REMOTE",
            )
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
