"""What a gate of the transaction found: results for the receipt, and why it is not passed."""

from dataclasses import dataclass, field
from typing import Dict, Tuple

from edgeform_wire.receipt import CheckResult


@dataclass(frozen=True)
class Found:
    """What a gate found.

    Args:
        problem: why it is not passed, for people; empty when it is.
        grown_bytes: by how much a process grew when it loaded a pipeline's new model, where that was seen.
    """

    results: Tuple[CheckResult, ...] = field(default=())
    problem: str = ""
    grown_bytes: Dict[str, int] = field(default_factory=dict)


def failures(results: Tuple[CheckResult, ...]) -> str:
    """The failed checks in one sentence for people."""
    failed = [r for r in results if r.verdict == "fail"] or list(results)
    said = "; ".join(f"{r.pipeline}: {r.name}: {r.detail}" for r in failed)
    return f"Checks failed. {said}"


def named(prefix: str, result: CheckResult) -> CheckResult:
    """The same result as one of a gate."""
    return CheckResult(
        name=f"{prefix}.{result.name}",
        pipeline=result.pipeline,
        verdict=result.verdict,
        detail=result.detail,
        measured=result.measured,
    )
