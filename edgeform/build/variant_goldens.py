"""Goldens of a built variant, out of its evaluation set: what every device must answer before a commit.

Cases at both levels where the set allows it: files as the camera gives them, and tensors. A case is taken
only where reference and variant agree with room to spare, because a golden on a near tie would fail a good
device, and only where the variant is as near to the reference as a device must be; how many were passed over
for that is told. The runtime then answers every case here, and is judged by the device tool's own code.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeform.build.builders import evaluator_of
from edgeform.build.datasets import CLASSIFICATION, DataSet, Sample
from edgeform.build.evaluation import Evaluated, Evaluator
from edgeform.build.failure import VariantRefused
from edgeform.build.goldens import GoldenRequest, complete_goldens
from edgeform.build.recipes import Workshop
from edgeform.build.shadow import RuntimeProcess
from edgeform.domain.hardware import asked_precision
from edgeform_device.control import Inference, RawTensor
from edgeform_device.judge import LOOSE, Case, judge_case
from edgeform_wire import golden

if TYPE_CHECKING:
    from edgeform.build.variants import VariantRequest

TENSOR_CASES = 8
ENCODED_CASES = 10
"""At least; for classification one of each class, up to MOST_ENCODED."""
MOST_ENCODED = 40
CLEAR_MARGIN = 0.2
"""Between the best two scores of a classification: the room that INT8 on another CPU may need."""
LEAST_NEAR = 0.5
"""Of the clear samples; a variant that is near to its source in fewer has goldens that flatter it."""


def write_goldens(
    tree: Path,
    *,
    request: "VariantRequest",
    shop: Workshop,
    precision: str,
    engine_version: str,
    reference: Evaluated,
    evaluated: Evaluated,
) -> str:
    """Add `golden/` to the variant's files; what is to be said about their choice.

    Raises:
        VariantRefused: too few samples are clear, or near to the reference, to prove anything by.
        ModelUnusable: the runtime does not repeat what it answered, or fails its own goldens.
    """
    data = request.evaluation
    judge = Evaluator(shop=shop, stages=request.stages, data=data)
    folder = shop.folder / "goldens"
    clear = clear_samples(data, reference.results(), evaluated.results())
    near = _near(clear, judge, precision, reference, evaluated, folder / "near")
    encoded, tensors = chosen(data, near)
    samples = [data.samples[n] for n in (*encoded, *tensors)]
    told = judge.record("recording the source network's answers", reference, samples, folder / "r")
    mine = judge.record("recording the variant's answers", evaluated, samples, folder / "v")
    (tree / "golden").mkdir()
    cases = []
    for place, (sample, source, variant) in enumerate(zip(samples, told, mine, strict=True)):
        is_encoded = place < len(encoded)
        name = f"{'encoded' if is_encoded else 'tensor'}-{place:02d}"
        cases.append(
            _case(
                tree,
                name,
                sample=sample,
                data=data,
                is_encoded=is_encoded,
                variant=_named(variant, folder / "v" / "out"),
                reference=_named(source, folder / "r" / "out"),
            )
        )
    found = golden.GoldenSet(
        precision=precision,
        engine=request.variant.engine,
        engine_version=engine_version,
        cases=tuple(cases),
    )
    (tree / golden.INDEX_PATH).write_bytes(found.encoded())
    shop.tell(f"{len(encoded)} goldens of files, {len(tensors)} of tensors: asking the runtime")
    _complete(tree, request, shop, precision, engine_version)
    return (
        f"goldens: {len(cases)} of {len(near)} samples; of {len(clear)} clear ones"
        f" {len(clear) - len(near)} were passed over, where it deviates more than a device may"
    )


def _near(
    clear: Sequence[int],
    judge: Evaluator,
    precision: str,
    reference: Evaluated,
    evaluated: Evaluated,
    folder: Path,
) -> tuple[int, ...]:
    """Of the clear samples those that a device would pass, by its own judgement.

    Raises:
        VariantRefused: fewer than LEAST_NEAR of them.
    """
    samples = [judge.data.samples[n] for n in clear]
    what = "comparing with the source network's answers"
    told = judge.record(what, reference, samples, folder / "r", is_outputs_only=True)
    mine = judge.record(what, evaluated, samples, folder / "v", is_outputs_only=True)
    near = tuple(
        n
        for n, source, variant in zip(clear, told, mine, strict=True)
        if is_near(
            precision,
            _raw(variant["outputs"], folder / "v" / "out"),
            _raw(source["outputs"], folder / "r" / "out"),
        )
    )
    shutil.rmtree(folder)
    if len(near) < LEAST_NEAR * len(clear):
        largest, least_db = LOOSE[precision]
        raise VariantRefused(
            f"Only {len(near)} of {len(clear)} clear samples are as near to the source network as devices are"
            f" held to ({largest:.0e} of the range and {least_db:.0f} dB for {precision}).",
            address=str(judge.data.folder),
            hint="Ask more of it, so that the ladder goes on: `gate: {sqnr_db: 20}`.",
        )
    return near


def is_near(precision: str, variant: Sequence[RawTensor], reference: Sequence[RawTensor]) -> bool:
    """Whether an answer is within the loose limits; what comes in another form cannot be compared."""
    wanted = tuple(replace(t, name=name) for t, name in comparable(reference, variant))
    case = Case(name="", variant=(), fp32=wanted, label=None)
    answer = Inference(inputs=(), outputs=tuple(variant), result={})
    return not judge_case(precision, case, answer).failures


Output = TypeVar("Output", golden.Tensor, RawTensor)


def comparable(
    reference: Sequence[Output], variant: Sequence[Output]
) -> Iterator[tuple[Output, str]]:
    """The reference's outputs that the variant gives too, each with the variant's name for it.

    Some tools rename what they touch; then an output is known by its place. What the variant gives in another
    form (integers at its edge) cannot be compared.
    """
    names = {t.name for t in variant}
    is_same_count = len(reference) == len(variant)
    for place, tensor in enumerate(reference):
        if tensor.name in names:
            found = next(t for t in variant if t.name == tensor.name)
        elif is_same_count and variant[place].name not in {t.name for t in reference}:
            found = variant[place]
        else:
            continue
        if (found.dtype, tuple(found.shape)) == (tensor.dtype, tuple(tensor.shape)):
            yield tensor, found.name


def _raw(recorded: Sequence[Mapping[str, Any]], folder: Path) -> tuple[RawTensor, ...]:
    return tuple(
        RawTensor(
            one["name"], one["dtype"], tuple(one["shape"]), (folder / one["path"]).read_bytes()
        )
        for one in recorded
    )


def _complete(
    tree: Path, request: "VariantRequest", shop: Workshop, precision: str, engine_version: str
) -> None:
    evaluator = evaluator_of(request.variant.engine)
    engine = evaluator.name.removeprefix("evaluate-")
    complete_goldens(
        GoldenRequest(
            model=tree,
            stages=dict(request.stages)
            | {"runtime": {"threads": 1, "precision": asked_precision("f32", precision)}},
            engine=engine,
            engine_version=engine_version,
            precision=precision,
            runtime=RuntimeProcess(python=str(shop.builders.python(evaluator))),
        )
    )


def clear_samples(
    data: DataSet,
    reference: Sequence[Mapping[str, Any]],
    variant: Sequence[Mapping[str, Any]],
) -> tuple[int, ...]:
    """Numbers of the samples that both answer rightly and with room.

    Raises:
        VariantRefused: none is clear.
    """
    clear = tuple(
        n
        for n, sample in enumerate(data.samples)
        if _is_clear(data.task, sample, reference[n], variant[n])
    )
    if not clear:
        raise VariantRefused(
            "No sample of the evaluation set is answered alike and clearly by source and variant, so no"
            " golden could tell a good device from a bad one.",
            address=str(data.folder),
        )
    return clear


def chosen(data: DataSet, near: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of the samples for encoded and for tensor cases; the two are different samples."""
    encoded = tuple(_spread(data, near)) if data.level == "encoded" else ()
    rest = [n for n in near if n not in encoded] or near
    every = max(1, len(rest) // TENSOR_CASES)
    return encoded, tuple(rest[::every][:TENSOR_CASES])


def _spread(data: DataSet, clear: Sequence[int]) -> Iterator[int]:
    """One of each class first, so that a mix-up of labels cannot hide; then more, up to ENCODED_CASES."""
    firsts: dict[str, int] = {}
    if data.task == CLASSIFICATION:
        for n in clear:
            firsts.setdefault(str(data.samples[n].label), n)
    kept = list(firsts.values())[:MOST_ENCODED]
    wanted = max(len(kept), min(ENCODED_CASES, len(clear) - min(TENSOR_CASES, len(clear) - 1)))
    kept += [n for n in clear if n not in kept][: wanted - len(kept)]
    yield from sorted(kept)


def _is_clear(
    task: str, sample: Sample, reference: Mapping[str, Any], variant: Mapping[str, Any]
) -> bool:
    """Whether both answer rightly and with room; other tasks than classification are judged by tensors."""
    if "failed" in (reference.get("kind"), variant.get("kind")):
        return False
    if task != CLASSIFICATION:
        return True
    for result in (reference, variant):
        classes = result.get("classes") or []
        if not classes or str(classes[0].get("label")) != str(sample.label):
            return False
        second = float(classes[1]["score"]) if len(classes) > 1 else 0.0
        if float(classes[0]["score"]) - second < CLEAR_MARGIN:
            return False
    return True


def _named(
    recorded: Mapping[str, Any], folder: Path
) -> dict[str, list[tuple[golden.Tensor, Path]]]:
    return {
        side: [
            (
                golden.Tensor(
                    name=one["name"],
                    dtype=one["dtype"],
                    shape=tuple(one["shape"]),
                    path=one["path"],
                ),
                folder / one["path"],
            )
            for one in recorded[side]
        ]
        for side in ("inputs", "outputs")
    }


def _case(
    tree: Path,
    name: str,
    *,
    sample: Sample,
    data: DataSet,
    is_encoded: bool,
    variant: Mapping[str, list[tuple[golden.Tensor, Path]]],
    reference: Mapping[str, list[tuple[golden.Tensor, Path]]],
) -> golden.Case:
    frame = None
    if is_encoded:
        frame = f"golden/{name}{Path(sample.file).suffix}"
        shutil.copyfile(data.folder / sample.file, tree / frame)
    files = {id(tensor): path for tensor, path in reference["outputs"]}
    told = [tensor for tensor, _ in reference["outputs"]]
    source = [
        (replace(tensor, name=name), files[id(tensor)])
        for tensor, name in comparable(told, [t for t, _ in variant["outputs"]])
    ]
    return golden.Case(
        name=name,
        level="encoded" if is_encoded else "tensor",
        inputs=() if is_encoded else _kept(tree, f"{name}.in", variant["inputs"]),
        frame=frame,
        variant=_kept(tree, f"{name}.variant", variant["outputs"]),
        fp32=_kept(tree, f"{name}.fp32", source),
        label=str(sample.label) if data.task == CLASSIFICATION else None,
    )


def _kept(
    tree: Path, stem: str, tensors: Sequence[tuple[golden.Tensor, Path]]
) -> tuple[golden.Tensor, ...]:
    kept = []
    for number, (tensor, source) in enumerate(tensors):
        path = f"golden/{stem}{f'.{number}' if number else ''}.bin"
        shutil.copyfile(source, tree / path)
        kept.append(
            golden.Tensor(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, path=path)
        )
    return tuple(kept)
