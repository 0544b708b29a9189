"""Verdicts on what a runtime answered: pure, over values that may have been recorded long ago.

Nothing here asks, reads or measures; `goldens.py` and `figures.py` do. So the power of the checks can be
measured on answers that were kept, with the very code that decides on a device.

Tolerances: measured deviation from the FP32 reference was at most 1.3e-6 of the range for FP32 across
three engines, 2.2e-3 for FP16, 2.1e-2 for BF16 and 6.4e-2 for INT8 (x86-64 with AVX512-VNNI,
2026-11-22); the limits leave a factor above that. docs/reference/checks.md has the table.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

from edgeform_device import tensors
from edgeform_device.control import Inference, RawTensor
from edgeform_device.subject import FAIL, INCONCLUSIVE, PASS
from edgeform_device.wording import shown_bytes
from edgeform_wire import golden

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

SLOWER = 1.5
"""How much more of the device than the generation before is worth a word; it fails nothing."""
AGREES = 0.5
"""The share of best classes that two generations of one pipeline are expected to have in common."""
MIN_ASKED = 4
FLOATS = ("float32", "float16")

Verdict = Tuple[str, str, Dict[str, Any]]
"""(verdict, a sentence for people, the numbers behind it)."""


@dataclass(frozen=True)
class Case:
    """What a golden demands, read.

    Args:
        variant, fp32: reference outputs; either may be empty.
        label: what the pipeline must report for it; None where that is not judged.
    """

    name: str
    variant: Tuple[RawTensor, ...]
    fp32: Tuple[RawTensor, ...]
    label: Optional[str]


@dataclass(frozen=True)
class Judged:
    """What was found about one answer; `failures` are sentences, empty when it is right."""

    failures: Tuple[str, ...]
    max_relative: float
    sqnr_db: float
    top1_asked: int


@dataclass(frozen=True)
class Window:
    """Some inferences in a row.

    Args:
        wall_ms: median wall time of one, as the judge sees it, socket included.
        cpu_ms: mean CPU time of the process for one, without what it spends when nobody asks.
    """

    wall_ms: float
    cpu_ms: float


def judge_case(precision: str, case: Case, answer: Inference) -> Judged:
    """Whether an answer is what the golden demands, for a variant of that precision.

    Raises:
        KeyError: a precision without tolerances.
    """
    failures = []
    worst, noise, asked = 0.0, 999.0, 0
    failures += [f"input {t.name!r} is not finite" for t in answer.inputs if not _is_finite(t)]
    if answer.result_error:
        failures.append(f"gives no result: {answer.result_error}")
    for references, limits in ((case.variant, TIGHT[precision]), (case.fp32, LOOSE[precision])):
        for want in references:
            found = _compare(answer.outputs, want, limits)
            failures += found.failures
            worst, noise = max(worst, found.max_relative), min(noise, found.sqnr_db)
            asked += found.top1_asked
    if case.label is not None and not answer.result_error:
        said = golden.answer_line(answer.result)
        if said != case.label:
            failures.append(f"says {said!r}, the reference says {case.label!r}")
    return Judged(tuple(failures), worst, max(-999.0, noise), asked)


def judge_inputs(inputs: Sequence[RawTensor]) -> Tuple[str, ...]:
    """What is wrong with the inputs of a golden themselves: an INT8 net makes plausible numbers of NaN."""
    return tuple(f"input {t.name!r} is not finite" for t in inputs if not _is_finite(t))


def judge_repeat(precision: str, answers: Sequence[Inference], *, is_cpu: bool) -> Verdict:
    """Whether the same input gave the same answer each time, bit by bit.

    On a CPU every engine was bitwise repeatable (100 runs, 2026-11-22), so there it must be. What an
    accelerator leaves open in the last bits is told; more than the tight tolerance fails anywhere.
    """
    first, differing = answers[0], []
    measured = {"runs": len(answers), "is_bitwise": True}
    for again in answers[1:]:
        for want in first.outputs:
            got = next((t for t in again.outputs if t.name == want.name), None)
            if got is not None and got == want:
                continue
            measured["is_bitwise"] = False
            differing.append(want.name)
            if _compare(again.outputs, want, TIGHT[precision]).failures:
                detail = f"repeated, output {want.name!r} differs by more than the tolerance"
                return FAIL, detail, measured
    if not differing:
        return PASS, f"{len(answers)} times the same, bit by bit", measured
    detail = f"repeated, output {differing[0]!r} differs in its last bits"
    return (FAIL if is_cpu else INCONCLUSIVE), detail, measured


def judge_timing(windows: Sequence[Window], objective_ms: float) -> Verdict:
    """Three-valued: a slow answer can be the model's fault, or the machine's."""
    best = min(windows, key=lambda w: w.wall_ms)
    least_cpu = min(w.cpu_ms for w in windows)
    measured = {"wall_p50_ms": round(best.wall_ms, 3), "cpu_ms": round(least_cpu, 3)}
    if best.wall_ms <= objective_ms:
        return PASS, f"p50 {best.wall_ms:.2f} ms, objective {objective_ms:g} ms", measured
    if least_cpu > objective_ms:
        detail = f"needs {least_cpu:.2f} ms of CPU for one inference, objective {objective_ms:g} ms"
        return FAIL, detail, measured
    detail = (
        f"p50 {best.wall_ms:.2f} ms above {objective_ms:g} ms,"
        f" but only {least_cpu:.2f} ms of CPU: the device was busy"
    )
    return INCONCLUSIVE, detail, measured


def judge_memory(resident: int, limit: int, *, is_shared: bool) -> Verdict:
    """Resident memory against its limit.

    Args:
        is_shared: another model is in the process too, so that too much of it proves nothing.
    """
    detail = f"{shown_bytes(resident)} resident of {shown_bytes(limit)}"
    if resident <= limit:
        return PASS, detail, {"rss_bytes": resident}
    if is_shared:
        detail += ", with two models in the process until the decision"
        return INCONCLUSIVE, detail, {"rss_bytes": resident}
    return FAIL, detail, {"rss_bytes": resident}


def judge_growth(grown: int, limit: int, runs: int, wanted: int, *, is_shared: bool) -> Verdict:
    """Growth of resident memory over some inferences.

    Args:
        runs, wanted: how many there were, and how many there should be: a slow model gets fewer.
    """
    detail = f"grew by {shown_bytes(grown)} in {runs} inferences, limit {shown_bytes(limit)}"
    measured = {"grown_bytes": grown, "inferences": runs}
    if grown > limit:
        return (INCONCLUSIVE if is_shared else FAIL), detail, measured
    if runs < wanted and grown * wanted > limit * runs:
        return INCONCLUSIVE, f"{detail}; there was time for no more of {wanted}", measured
    return PASS, detail, measured


def judge_comparison(
    now: Window, before: Window, answers: Sequence[Tuple[Inference, Inference]]
) -> Verdict:
    """What the new generation is beside the one before, on this very device. It never fails by itself.

    Args:
        answers: (new, old) to the same inputs, where both models take them.
    """
    asked = agreed = 0
    for new, old in answers:
        for want in old.outputs:
            got = next((t for t in new.outputs if t.name == want.name), None)
            if got is None or got.shape != want.shape or tensors.count(want) < 2:
                continue
            asked += 1
            agreed += tensors.best(got) == tensors.best(want)
    measured = {
        "wall_p50_ms": round(now.wall_ms, 3),
        "wall_p50_before_ms": round(before.wall_ms, 3),
        "cpu_ms": round(now.cpu_ms, 3),
        "cpu_before_ms": round(before.cpu_ms, 3),
        "answers_asked": asked,
        "answers_agreed": agreed,
    }
    words = []
    if now.wall_ms > SLOWER * before.wall_ms and now.cpu_ms > SLOWER * before.cpu_ms:
        words.append(f"needs {now.cpu_ms:.2f} ms of CPU, the one before {before.cpu_ms:.2f} ms")
    if asked >= MIN_ASKED and agreed < AGREES * asked:
        words.append(f"agrees with the one before in {agreed} of {asked} answers")
    if words:
        return INCONCLUSIVE, "; ".join(words), measured
    same = f", {agreed} of {asked} answers the same" if asked else ""
    return PASS, f"p50 {now.wall_ms:.2f} ms, before {before.wall_ms:.2f} ms{same}", measured


def _is_finite(tensor: RawTensor) -> bool:
    return tensor.dtype not in FLOATS or tensors.is_finite(tensors.values(tensor))


def _compare(outputs: Sequence[RawTensor], want: RawTensor, limits: Tuple[float, float]) -> Judged:
    got = next((o for o in outputs if o.name == want.name), None)
    if got is None:
        return _wrong(f"output {want.name!r} is missing")
    if got.shape != want.shape or got.dtype != want.dtype:
        is_, not_ = f"{list(got.shape)} {got.dtype}", f"{list(want.shape)} {want.dtype}"
        return _wrong(f"output {want.name!r} is {is_}, not {not_}")
    have, reference = tensors.values(got), tensors.values(want)
    if not tensors.is_finite(have):
        return _wrong(f"output {want.name!r} is not finite")
    if tensors.is_constant(have) and not tensors.is_constant(reference):
        return _wrong(f"output {want.name!r} is constant")
    most, least_db = limits
    found = tensors.deviation(have, reference, most)
    failures = []
    if found.top1_same is False:
        failures.append(f"output {want.name!r}: the best class is another one")
    if found.max_relative > most or found.sqnr_db < least_db:
        failures.append(
            f"output {want.name!r} deviates by {found.max_relative:.1e} of the range, {found.sqnr_db:.0f} dB"
            f" (allowed {most:.0e}, {least_db:.0f} dB)"
        )
    asked = int(found.top1_same is not None)
    return Judged(tuple(failures), found.max_relative, found.sqnr_db, asked)


def _wrong(sentence: str) -> Judged:
    return Judged((sentence,), 0.0, 999.0, 0)
