"""The checks that decide: the runtime answers, the tool judges.

Golden inputs go over the socket, raw tensors come back, and shape, finiteness, deviation and wall time
are computed on this side. CPU time and memory are read from /proc. What the runtime says about itself
(`effective`) is only a claim that is held against open device nodes and loaded libraries.
"""

from typing import Iterable, List, Optional, Tuple

from edgeform_device import claims, figures
from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.figures import Watch
from edgeform_device.goldens import check_goldens
from edgeform_device.subject import FAIL, PASS, SKIPPED, Subject, verdict_on
from edgeform_device.wording import shown_bytes
from edgeform_wire import golden
from edgeform_wire.receipt import CheckResult


def run_checks(subject: Subject, watch: Optional[Watch] = None) -> Tuple[CheckResult, ...]:
    """Every verdict on the subject; a runtime that does not answer is a failed check, not an error."""
    wanted, watch = subject.use.checks, watch or Watch()
    results: List[CheckResult] = []
    try:
        with Control(subject.socket_path) as control:
            results.append(claims.service(control, subject))
            results.append(claims.provider(control, subject, wanted.get("provider")))
            results.append(claims.configuration(control, subject))
            cases: Tuple[golden.Case, ...] = ()
            if wanted.get("golden", True):
                found, cases = check_goldens(control, subject)
                results.extend(found)
            results.append(figures.timing(control, subject, cases, wanted.get("p50_ms"), watch))
            results.extend(figures.memory(control, subject, cases, wanted, watch))
            results.append(figures.comparison(control, subject, cases, watch))
    except (RuntimeSilent, RuntimeRefused) as exc:
        sentence = exc.summary + (": " + exc.detail if exc.detail else "")
        results.append(verdict_on(subject, "service", FAIL, sentence))
    results.append(_disk(subject, wanted.get("min_free_disk_bytes")))
    return tuple(r for r in results if r.verdict != SKIPPED or r.detail)


def is_acceptable(results: Iterable[CheckResult]) -> bool:
    """Whether a generation with these verdicts may be committed: something passed, nothing failed."""
    verdicts = [r.verdict for r in results]
    return PASS in verdicts and FAIL not in verdicts


def first_failure(results: Iterable[CheckResult]) -> str:
    """A sentence about the first failed check, for the receipt and the night operator."""
    for result in results:
        if result.verdict == FAIL:
            return f"{result.pipeline} {result.name}: {result.detail}"
    return ""


def _disk(subject: Subject, minimum: Optional[int]) -> CheckResult:
    free = subject.free_disk_bytes
    if minimum is None or free is None:
        return verdict_on(subject, "disk", SKIPPED, "")
    verdict = PASS if free >= minimum else FAIL
    return verdict_on(
        subject, "disk", verdict, f"{shown_bytes(free)} free, minimum {shown_bytes(minimum)}"
    )
