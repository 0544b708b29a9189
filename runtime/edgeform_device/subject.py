"""What is judged, and how a verdict on it is written down."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional

from edgeform_wire.generation import PipelineUse
from edgeform_wire.receipt import CheckResult

if TYPE_CHECKING:
    from edgeform_device.control import Control

PASS, FAIL, INCONCLUSIVE, SKIPPED = "pass", "fail", "inconclusive", "skipped"
LIVE = "live"


@dataclass(frozen=True)
class Previous:
    """The generation before, where it still answers: what the new one is compared with."""

    socket_path: str
    model_tree: str
    pid: int
    slot: str = LIVE


@dataclass(frozen=True)
class Subject:
    """What is judged: a pipeline, its model tree, and the process that serves it.

    Args:
        slot: `live`, or `candidate` beside the live one in the same process.
        pid: of the runtime process, found by the tool itself and not asked from the runtime.
        free_disk_bytes: of the prefix.
        previous: None where there is none, or it does not answer any more.
    """

    use: PipelineUse
    model_tree: str
    socket_path: str
    pid: int
    slot: str = LIVE
    free_disk_bytes: Optional[int] = None
    generation: Optional[int] = None
    previous: Optional[Previous] = None

    def held(self, state: Dict[str, Any]) -> Dict[str, Any]:
        """What a runtime's state says of this slot; of the live one also where it tells no slots."""
        slots = state.get("slots")
        found = slots.get(self.slot) if isinstance(slots, dict) else None
        if isinstance(found, dict):
            return found
        return state if self.slot == LIVE else {}

    def effective(self, control: "Control") -> Dict[str, Any]:
        """The runtime's claim about how this slot's model runs; empty where it makes none."""
        claimed = self.held(control.state()).get("effective")
        return claimed if isinstance(claimed, dict) else {}


def verdict_on(
    subject: Subject,
    name: str,
    verdict: str,
    detail: str,
    measured: Optional[Dict[str, Any]] = None,
) -> CheckResult:
    return CheckResult(name, subject.use.name, verdict, detail, measured or {})
