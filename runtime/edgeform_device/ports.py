"""What the transaction needs from the rest of the tool, as protocols, and the values that pass between.

`live.py` puts the real parts together; tests put in parts that crash, hang, lie or run out of space.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Optional, Protocol, Tuple

from edgeform_device.durable import Disk
from edgeform_device.health import Health
from edgeform_device.layout import Layout
from edgeform_device.models import Held
from edgeform_device.records import Committed
from edgeform_device.subject import Subject
from edgeform_wire.artifact import Artifact
from edgeform_wire.generation import Generation, PipelineUse
from edgeform_wire.receipt import CheckResult, Receipt

if TYPE_CHECKING:
    # Trust is the largest part of the tool, and a guard or a status has no use for it.
    from edgeform_device.trusted import Approved

TRANSACTION_LOCK = "lock"
GUARD_LOCK = "guard.lock"
DECIDE_LOCK = "decide.lock"


class Clock(Protocol):
    """Time on this device. Deadlines use `boottime_s`, which no clock setting and no suspend moves."""

    def boottime_s(self) -> float: ...

    def boot_id(self) -> str: ...

    def wall_time(self) -> str:
        """ISO 8601 in UTC, as the device believes it."""
        ...

    def sleep(self, seconds: float) -> None: ...


class HeldLock(Protocol):
    def release(self) -> None: ...


class Locks(Protocol):
    """Locks that end with the process that holds them."""

    def take(self, name: str, wait_s: float, *, is_shared: bool = False) -> Optional[HeldLock]:
        """The lock, or None when others held it for the whole time."""
        ...


class Preparation(Protocol):
    """Trust, space, bytes: everything before the switch."""

    def approve(self, number: int) -> "Approved":
        """The verified deployment of that number.

        Raises:
            DeviceError: not trusted, stale, for another device, or not there.
        """
        ...

    def preflight(self, approved: "Approved", committed: Optional[Committed]) -> None:
        """Nothing, when the deployment may be tried here now.

        Raises:
            DeviceError: stale base, quarantined, no space, hardware, window, power, blobs missing.
        """
        ...

    def materialise(self, approved: "Approved") -> None:
        """Build and verify the trees of all artifacts, durably."""
        ...

    def install_drivers(self, approved: "Approved", transaction: str) -> None:
        """Install the driver packages that the deployment brings.

        Raises:
            Refused: not here, or not yet. RolledBack: those before are in place again. NeedsHands: neither.
        """
        ...

    def undo_drivers(self) -> str:
        """Take back driver packages whose installation was cut; a sentence, empty where none was.

        Raises:
            NeedsHands: it cannot be taken back.
        """
        ...

    def derive(self, generation: Generation) -> Dict[str, str]:
        """Build what must be built here (engines, caches); digests by key."""
        ...

    def verify(self, generation: Generation) -> None:
        """Nothing, when the trees of a kept generation are whole.

        Raises:
            Corrupt, Incomplete: they are not.
        """
        ...

    def clean(self) -> None:
        """Remove what a cut left half made."""
        ...

    def collect(self) -> None:
        """Remove what no kept generation uses."""
        ...


class Services(Protocol):
    """Pipelines as services; two backends with one contract suite."""

    def define(self, generation: Generation) -> None:
        """Write unit files and limits for these pipelines, when they differ; nothing is restarted."""
        ...

    def start(self, names: Tuple[str, ...]) -> None:
        """Start what is not running; a running one is left alone."""
        ...

    def restart(self, names: Tuple[str, ...]) -> None: ...

    def stop(self, names: Tuple[str, ...]) -> None: ...

    def known(self) -> Tuple[str, ...]:
        """The pipelines that run or should, whichever generation they are of."""
        ...

    def health(self, name: str) -> Health: ...

    def glance(self, name: str) -> Health:
        """As `health`, for a question and not for a decision: systemd is asked only where it must be."""
        ...

    def start_shadow(self, number: int, use: PipelineUse) -> int:
        """Run a pipeline of that generation beside the live one, on its shadow socket; its pid."""
        ...

    def shadow_health(self, name: str) -> Health: ...

    def stop_shadow(self, name: str) -> None: ...

    def sweep_shadows(self) -> None:
        """End every shadow that a cut transaction left running."""
        ...

    def available_bytes(self) -> int:
        """Memory that a new process could have without pushing out a running one."""
        ...

    def resident_bytes(self, name: str) -> Optional[int]:
        """What the running pipeline has in memory; None when it does not run."""
        ...

    def reboot(self) -> None: ...


class Models(Protocol):
    """The models in the memory of running pipelines. What a process says it holds is a claim."""

    def held(self, name: str, *, is_shadow: bool = False) -> Optional[Held]:
        """What a running pipeline holds; None when it is not ready or does not say."""
        ...

    def room_bytes(self, name: str) -> int:
        """What the running pipeline may still take: free on the device, and below its limit."""
        ...

    def load(self, name: str, number: int) -> None:
        """Load that generation's model beside the live one, as `candidate`.

        Raises:
            DeviceError: it is refused, or nobody answers in time.
        """
        ...

    def swap(self, name: str, slot: str, content: str) -> None:
        """Make what the slot holds live, if it is just this; what was live becomes `previous`.

        Raises:
            DeviceError: it is not, or nobody answers.
        """
        ...

    def free(self, name: str, slot: str) -> bool:
        """Whether the slot is empty now."""
        ...


class Checks(Protocol):
    """The tool judges what the runtime answers."""

    def run(self, subject: Subject) -> Tuple[CheckResult, ...]: ...

    def is_acceptable(self, results: Tuple[CheckResult, ...]) -> bool: ...


@dataclass(frozen=True)
class Verdict:
    """An outcome on its way into a receipt; the sink adds device, sequence, chain and signature."""

    transaction: str
    road: str
    deployment: int
    plan_digest: str
    from_generation: int
    to_generation: int
    digest: str
    result: str
    reason: str
    checks: Tuple[CheckResult, ...]
    seconds: Dict[str, float]
    derived: Dict[str, str]


class ReceiptSink(Protocol):
    def record(self, verdict: Verdict) -> Receipt:
        """The receipt of this transaction, appended durably; the same one when it is there already."""
        ...


class Launcher(Protocol):
    """Starts the tool's own verbs so that they outlive the session that asked."""

    def start(self, unit: str, arguments: Tuple[str, ...], *, is_restarted: bool) -> None:
        """Start one verb, detached.

        Args:
            unit: a name for it; one that still runs under this name is left alone.
            is_restarted: start it again when it is killed; it ends by leaving with 0.
        """
        ...

    def kill(self, pid: int) -> None:
        """End a transaction process that no longer answers."""
        ...


class Tool(Protocol):
    """The device tool itself."""

    def update(self, artifact: Artifact) -> bool:
        """Make that tool the one in use, once it has proven itself; False when it is already.

        Raises:
            Refused, Held: it is not taken.
        """
        ...

    def settle(self, wall_time: str) -> str:
        """After a boot, keep the tool that recovered; what was done, empty if nothing."""
        ...


@dataclass(frozen=True)
class Environment:
    """The parts one transaction works with."""

    layout: Layout
    disk: Disk
    clock: Clock
    locks: Locks
    services: Services
    models: Models
    preparation: Preparation
    checks: Checks
    receipts: ReceiptSink
    launcher: Launcher
    tool: Tool
