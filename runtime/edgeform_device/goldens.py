"""Goldens: known inputs whose answers are compared outside the runtime that gave them.

This module reads the goldens and asks; `judge.py` decides.
"""

import os
from typing import Dict, List, Optional, Tuple

from edgeform_device import judge
from edgeform_device.control import Control, Inference, RawTensor, RuntimeRefused
from edgeform_device.judge import LOOSE, TIGHT
from edgeform_device.subject import FAIL, PASS, Subject, verdict_on
from edgeform_wire import golden
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import CheckResult

__all__ = ["LOOSE", "TIGHT", "answer_to", "check_goldens", "load_tensor", "read"]

REPEATS = 5


def check_goldens(
    control: Control, subject: Subject
) -> Tuple[List[CheckResult], Tuple[golden.Case, ...]]:
    """The verdicts `golden` and `repeat`, and the cases for whoever measures with them."""
    try:
        goldens = read(subject.model_tree)
    except (OSError, WireError) as exc:
        detail = f"no usable goldens in the model artifact: {exc}"
        return [verdict_on(subject, "golden", FAIL, detail)], ()
    if goldens.precision not in LOOSE:
        detail = f"goldens of unknown precision {goldens.precision!r}"
        return [verdict_on(subject, "golden", FAIL, detail)], ()
    failures: List[str] = []
    worst: Dict[str, float] = {"max_relative": 0.0, "sqnr_db": 999.0, "top1_asked": 0, "cases": 0}
    for case in goldens.cases:
        try:
            wanted = demanded(subject.model_tree, case)
            failures += [f"{case.name}: {f}" for f in _bad_inputs(subject, case)]
            answer = answer_to(control, subject, case)
        except RuntimeRefused as exc:
            failures.append(f"{case.name}: {exc.detail or exc.summary}")
            continue
        found = judge.judge_case(goldens.precision, wanted, answer)
        failures += [f"{case.name}: {f}" for f in found.failures]
        worst["cases"] += 1
        worst["max_relative"] = max(worst["max_relative"], found.max_relative)
        worst["sqnr_db"] = min(worst["sqnr_db"], found.sqnr_db)
        worst["top1_asked"] += found.top1_asked
    results = [_result(subject, failures, goldens, worst)]
    results += _repeated(control, subject, goldens)
    return results, goldens.cases


def read(tree: str) -> golden.GoldenSet:
    """The goldens of a model's tree.

    Raises:
        OSError, WireError: there are none, or not of the agreed form.
    """
    with open(os.path.join(tree, golden.INDEX_PATH), "rb") as stream:
        return golden.decode(stream.read())


def demanded(tree: str, case: golden.Case) -> judge.Case:
    """What a golden demands, its references read.

    Raises:
        RuntimeRefused: a file is not as long as announced.
    """
    return judge.Case(
        name=case.name,
        variant=tuple(load_tensor(tree, t) for t in case.variant),
        fp32=tuple(load_tensor(tree, t) for t in case.fp32),
        label=case.label if case.level == "encoded" else None,
    )


def declared_precision(tree: str) -> Optional[str]:
    """The precision that the signed artifact itself says it computes in; None if its goldens say nothing."""
    try:
        return read(tree).precision
    except (OSError, WireError):
        return None


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


def _bad_inputs(subject: Subject, case: golden.Case) -> Tuple[str, ...]:
    """Of the tensor level; what an encoded case becomes is in the runtime's answer."""
    return judge.judge_inputs([load_tensor(subject.model_tree, t) for t in case.inputs])


def _result(
    subject: Subject, failures: List[str], goldens: golden.GoldenSet, worst: Dict[str, float]
) -> CheckResult:
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        return verdict_on(subject, "golden", FAIL, failures[0] + more, dict(worst))
    detail = "{} of {} goldens".format(int(worst["cases"]), len(goldens.cases))
    return verdict_on(subject, "golden", PASS, detail, dict(worst))


def _repeated(control: Control, subject: Subject, goldens: golden.GoldenSet) -> List[CheckResult]:
    """Same input, same answer: what differs is not a function of its input."""
    case = next((c for c in goldens.cases if c.level == "tensor"), None)
    if case is None:
        return []
    try:
        answers = [answer_to(control, subject, case) for _ in range(REPEATS)]
    except RuntimeRefused:
        return []  # `golden` has said so
    is_cpu = subject.effective(control).get("device") == "cpu"
    verdict, detail, measured = judge.judge_repeat(goldens.precision, answers, is_cpu=is_cpu)
    return [verdict_on(subject, "repeat", verdict, f"{case.name}: {detail}", measured)]
