"""Goldens of a variant: what this very model answers in the runtime itself, beside the FP32 reference.

The runtime runs as a process of its own, as on a device (`--shadow`), so that the controller needs neither
numpy nor an engine. What it answered is judged by the device tool's own code before anything is written:
goldens that would not pass on a device are never published.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeform.build.failure import ModelUnusable
from edgeform.build.shadow import TREE, RuntimeProcess, shadow
from edgeform_device.control import Control, Inference, RawTensor, RuntimeRefused, RuntimeSilent
from edgeform_device.goldens import check_goldens, load_tensor
from edgeform_device.subject import FAIL, Subject
from edgeform_wire import golden
from edgeform_wire.errors import WireError


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenRequest:
    """What to make goldens of.

    Args:
        model: the model directory; its `golden/index.json` holds the cases.
        stages: the pipeline's stages, as in a pipeline file; encoded cases go through its preprocessing.
        role: which reference the answers become: `variant`, or `fp32` when the model is the reference.
    """

    model: Path
    stages: Mapping[str, object]
    engine: str
    engine_version: str
    precision: str
    role: str = "variant"
    runtime: RuntimeProcess = field(default_factory=RuntimeProcess)


def complete_goldens(request: GoldenRequest) -> golden.GoldenSet:
    """Run every case through the runtime, judge, and write answers and index into the directory.

    Raises:
        ModelUnusable: the cases are damaged, the runtime refuses the model, or its answers do not pass.
        BuildFailed: the runtime does not start or does not answer.
    """
    cases = _cases(request.model)
    with tempfile.TemporaryDirectory(prefix="edgeform-goldens-") as work:
        tree = Path(work, TREE)
        shutil.copytree(request.model, tree)
        with shadow(
            Path(work), engine=request.engine, stages=request.stages, runtime=request.runtime
        ) as subject:
            written = _recorded(request, cases, subject, tree)
            found = golden.GoldenSet(
                precision=request.precision,
                engine=request.engine,
                engine_version=request.engine_version,
                cases=tuple(written),
            )
            (tree / golden.INDEX_PATH).write_bytes(found.encoded())
            _judge(subject)
        _publish(tree, request.model, found)
    return found


def _cases(model: Path) -> tuple[golden.Case, ...]:
    index = model / golden.INDEX_PATH
    try:
        return golden.decode(index.read_bytes()).cases
    except FileNotFoundError as exc:
        raise ModelUnusable(
            "There are no golden cases to complete.",
            address=str(index),
            hint="Write an index with inputs and the answers of the reference network.",
        ) from exc
    except WireError as exc:
        raise ModelUnusable(f"The golden cases are damaged: {exc}.", address=str(index)) from exc


def _recorded(
    request: GoldenRequest, cases: tuple[golden.Case, ...], subject: Subject, tree: Path
) -> Iterator[golden.Case]:
    """The cases with the runtime's answers as their references; the answers are in the tree."""
    try:
        with Control(subject.socket_path) as control:
            for case in cases:
                answer = _ask(control, case, tree)
                references = tuple(
                    _write(tree, f"{case.name}.{request.role}", output, n)
                    for n, output in enumerate(answer.outputs)
                )
                if request.role == "fp32":
                    yield replace(case, fp32=references)
                else:
                    yield replace(case, variant=references)
    except (RuntimeRefused, RuntimeSilent) as exc:
        raise ModelUnusable(
            f"{exc.summary}: {exc.detail}." if exc.detail else f"{exc.summary}.",
            address=str(request.model),
        ) from exc


def _ask(control: Control, case: golden.Case, tree: Path) -> Inference:
    if case.frame is not None:
        return control.infer_encoded("live", (tree / case.frame).read_bytes())
    return control.infer_tensors("live", [load_tensor(str(tree), t) for t in case.inputs])


def _write(tree: Path, stem: str, output: RawTensor, number: int) -> golden.Tensor:
    suffix = f".{number}" if number else ""
    path = f"golden/{stem}{suffix}.bin"
    (tree / path).write_bytes(output.content)
    return golden.Tensor(name=output.name, dtype=output.dtype, shape=output.shape, path=path)


def _judge(subject: Subject) -> None:
    with Control(subject.socket_path) as control:
        results, _ = check_goldens(control, subject)
    for result in results:
        if result.verdict == FAIL:
            raise ModelUnusable(
                f"The model does not pass its own goldens: {result.detail}.",
                address=subject.model_tree,
                hint="Compare it with the reference network; nothing was written.",
            )


def _publish(tree: Path, model: Path, found: golden.GoldenSet) -> None:
    """Bring the new files home, the index last."""
    for case in found.cases:
        for tensor in (*case.variant, *case.fp32):
            _replace(tree / tensor.path, model / tensor.path)
    _replace(tree / golden.INDEX_PATH, model / golden.INDEX_PATH)


def _replace(source: Path, target: Path) -> None:
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    part.replace(target)
