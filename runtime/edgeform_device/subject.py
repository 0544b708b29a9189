"""What is judged, and how a verdict on it is written down."""

from dataclasses import dataclass
from typing import Any, Dict, Optional

from edgeform_wire.generation import PipelineUse
from edgeform_wire.receipt import CheckResult

PASS, FAIL, INCONCLUSIVE, SKIPPED = "pass", "fail", "inconclusive", "skipped"


@dataclass(frozen=True)
class Subject:
    """What is judged: a pipeline, its model tree, and the process that serves it.

    Args:
        slot: `live` or `candidate`.
        pid: of the runtime process, found by the tool itself and not asked from the runtime.
        free_disk_bytes: of the prefix.
    """

    use: PipelineUse
    model_tree: str
    socket_path: str
    pid: int
    slot: str = "live"
    free_disk_bytes: Optional[int] = None
    generation: Optional[int] = None


def verdict_on(
    subject: Subject,
    name: str,
    verdict: str,
    detail: str,
    measured: Optional[Dict[str, Any]] = None,
) -> CheckResult:
    return CheckResult(name, subject.use.name, verdict, detail, measured or {})
