"""Goldens: known inputs whose answers are compared here, outside the runtime that gave them.

Tolerances: measured deviation from the FP32 reference was at most 1.3e-6 of the range for FP32 across
three engines, 2.2e-3 for FP16, 2.1e-2 for BF16 and 6.4e-2 for INT8 (x86-64 with AVX512-VNNI,
2026-11-22); the limits leave a factor above that. docs/reference/checks.md has the table.
"""

import os
from typing import Any, Dict, List, Optional, Tuple

from edgeform_device import tensors
from edgeform_device.control import Control, Inference, RawTensor, RuntimeRefused
from edgeform_device.subject import FAIL, PASS, Subject, verdict_on
from edgeform_wire import golden
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import CheckResult

LOOSE = {
    "f32": (1e-4, 80.0),
    "f16": (1e-2, 40.0),
    "bf16": (4e-2, 25.0),
    "int8": (2e-1, 15.0),
    "int4": (2.5e-1, 12.0),
}
"""Against the FP32 reference: (largest deviation over the range, smallest SQNR in dB)."""
TIGHT = {
    "f32": (1e-5, 90.0),
    "f16": (5e-3, 45.0),
    "bf16": (2e-2, 30.0),
    "int8": (1e-1, 20.0),
    "int4": (1e-1, 20.0),
}
"""Against the same variant in the same engine, on another CPU."""

REPEATS = 3


def check_goldens(
    control: Control, subject: Subject
) -> Tuple[List[CheckResult], Tuple[golden.Case, ...]]:
    try:
        with open(os.path.join(subject.model_tree, golden.INDEX_PATH), "rb") as stream:
            goldens = golden.decode(stream.read())
    except (OSError, WireError) as exc:
        detail = f"no usable goldens in the model artifact: {exc}"
        return [verdict_on(subject, "golden", FAIL, detail)], ()
    if goldens.precision not in LOOSE:
        detail = f"goldens of unknown precision {goldens.precision!r}"
        return [verdict_on(subject, "golden", FAIL, detail)], ()
    failures: List[str] = []
    worst = {"max_relative": 0.0, "sqnr_db": 999.0, "top1_asked": 0, "cases": 0}
    for case in goldens.cases:
        try:
            answer = answer_to(control, subject, case)
        except RuntimeRefused as exc:
            failures.append(f"{case.name}: {exc.detail or exc.summary}")
            continue
        worst["cases"] += 1
        failures += [f"{case.name}: {f}" for f in _judge(subject, goldens, case, answer, worst)]
    failures += _repeatability(control, subject, goldens)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        return [verdict_on(subject, "golden", FAIL, failures[0] + more, dict(worst))], goldens.cases
    detail = "{} of {} goldens".format(int(worst["cases"]), len(goldens.cases))
    return [verdict_on(subject, "golden", PASS, detail, dict(worst))], goldens.cases


def answer_to(control: Control, subject: Subject, case: golden.Case) -> Inference:
    if case.level == "encoded":
        path = os.path.join(subject.model_tree, case.frame or "")
        with open(path, "rb") as stream:
            return control.infer_encoded(subject.slot, stream.read())
    inputs = [load_tensor(subject.model_tree, t) for t in case.inputs]
    return control.infer_tensors(subject.slot, inputs)


def load_tensor(tree: str, tensor: golden.Tensor) -> RawTensor:
    with open(os.path.join(tree, tensor.path), "rb") as stream:
        content = stream.read(tensor.size_bytes + 1)
    if len(content) != tensor.size_bytes:
        raise RuntimeRefused(f"golden file {tensor.path} is not as long as announced")
    return RawTensor(tensor.name, tensor.dtype, tensor.shape, content)


def _judge(
    subject: Subject,
    goldens: golden.GoldenSet,
    case: golden.Case,
    answer: Inference,
    worst: Dict[str, float],
) -> List[str]:
    failures: List[str] = []
    for references, limits in ((case.variant, TIGHT), (case.fp32, LOOSE)):
        for reference in references:
            want = load_tensor(subject.model_tree, reference)
            failures += _compare(answer, want, limits[goldens.precision], worst)
    if case.level == "encoded" and case.label is not None:
        said = _label(answer.result)
        if said != case.label:
            failures.append(f"says {said!r}, the reference says {case.label!r}")
    return failures


def _label(result: Any) -> Optional[str]:
    """The best label of a classification result, as the pipeline reports it."""
    if isinstance(result, dict):
        classes = result.get("classes")
        if isinstance(classes, list) and classes and isinstance(classes[0], dict):
            label = classes[0].get("label")
            return label if isinstance(label, str) else None
    return None


def _compare(
    answer: Inference, want: RawTensor, limits: Tuple[float, float], worst: Dict[str, float]
) -> List[str]:
    got = next((o for o in answer.outputs if o.name == want.name), None)
    if got is None:
        return [f"output {want.name!r} is missing"]
    if got.shape != want.shape or got.dtype != want.dtype:
        return [
            f"output {want.name!r} is {list(got.shape)} {got.dtype}, not {list(want.shape)} {want.dtype}"
        ]
    have, reference = tensors.values(got), tensors.values(want)
    if not tensors.is_finite(have):
        return [f"output {want.name!r} is not finite"]
    if tensors.is_constant(have) and not tensors.is_constant(reference):
        return [f"output {want.name!r} is constant"]
    most, least_db = limits
    found = tensors.deviation(have, reference, most)
    worst["max_relative"] = max(worst["max_relative"], found.max_relative)
    worst["sqnr_db"] = max(-999.0, min(worst["sqnr_db"], found.sqnr_db))
    failures = []
    if found.top1_same is not None:
        worst["top1_asked"] += 1
        if not found.top1_same:
            failures.append(f"output {want.name!r}: the best class is another one")
    if found.max_relative > most or found.sqnr_db < least_db:
        failures.append(
            f"output {want.name!r} deviates by {found.max_relative:.1e} of the range, {found.sqnr_db:.0f} dB"
            f" (allowed {most:.0e}, {least_db:.0f} dB)"
        )
    return failures


def _repeatability(control: Control, subject: Subject, goldens: golden.GoldenSet) -> List[str]:
    """Same input, same answer: what differs by more than the tight tolerance is not a function."""
    case = next((c for c in goldens.cases if c.level == "tensor"), None)
    if case is None:
        return []
    first = answer_to(control, subject, case)
    unused = {"max_relative": 0.0, "sqnr_db": 999.0, "top1_asked": 0}
    for _ in range(REPEATS - 1):
        again = answer_to(control, subject, case)
        for output in first.outputs:
            if _compare(again, output, TIGHT[goldens.precision], dict(unused)):
                return [f"{case.name}: repeated, output {output.name!r} differs"]
    return []
