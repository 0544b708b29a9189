"""What differs between a device and what it should be: a closed union of values.

A change says what, why, how well it can be foreseen, what it costs and whether it can be undone. It
names no device, so that devices with the same diff have equal changes and can be shown together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why something differs. `drift` means the world moved; all others mean that we did."""

    FIRST_INSTALL = "first_install"
    SPEC_CHANGED = "spec_changed"
    VERSION_MOVED = "version_moved"
    """The spec asks for an alias, a range or a channel, and the lock now resolves it to another version."""
    REBUILT = "rebuilt"
    """Same name and version, other bytes: built again by another recipe or toolchain."""
    TOOL_CHANGED = "tool_changed"
    DRIFT = "drift"


class Fidelity(StrEnum):
    EXACT = "exact"
    OPAQUE = "opaque"
    """Somebody else decides what really happens: a package server, a vendor's role, a firmware."""


class Undoing(StrEnum):
    """What brings the state before back, if the change turns out badly."""

    GENERATION = "generation"
    """The device returns by itself to the generation it had."""
    TOOL = "tool"
    """The old tool stays until a boot has recovered with the new one."""
    PACKAGES = "packages"
    """The packages of before are put back from their cached files."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """Which artifact, in words and by digest."""

    version: str
    variant: str
    digest: str

    def __str__(self) -> str:
        return f"{self.version} {self.variant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One leaf of a pipeline that differs; values as JSON text, None for absent."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What every change says about itself.

    Args:
        send_bytes: at most; the device may know some of the files already. Exact at apply.
        downtime_s: how long the pipelines it touches stand still; None when nobody can say.
        reboot: whether it only takes effect after a reboot.
        why: a sentence for people, where the reason alone says too little.
    """

    reason: Reason
    why: str = ""
    fidelity: Fidelity = Fidelity.EXACT
    undo: Undoing = Undoing.GENERATION
    send_bytes: int = 0
    downtime_s: float | None = 0.0
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallTool(Cost):
    version: str
    digest: str

    @property
    def address(self) -> str:
        return "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTool(Cost):
    before: str
    version: str
    digest: str

    @property
    def address(self) -> str:
        return "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol(Cost):
    """Give the device its name, its key and the root of trust it will hold everybody to."""

    site: str

    @property
    def address(self) -> str:
        return "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPackage(Cost):
    """`after` None means whichever version the source offers, which makes it opaque."""

    name: str
    before: str | None
    after: str | None
    source: str
    hold: bool

    @property
    def address(self) -> str:
        return f"drivers.packages.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadModule(Cost):
    name: str

    @property
    def address(self) -> str:
        return f"drivers.modules.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteUdevRule(Cost):
    name: str
    path: str
    replaces: bool

    @property
    def address(self) -> str:
        return f"drivers.udev_rules.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinGroup(Cost):
    name: str

    @property
    def address(self) -> str:
        return f"drivers.groups.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSysctl(Cost):
    name: str
    before: str | None
    after: str

    @property
    def address(self) -> str:
        return f"drivers.sysctl.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVendorRole(Cost):
    name: str

    @property
    def address(self) -> str:
        return f"drivers.vendor_roles.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot(Cost):
    @property
    def address(self) -> str:
        return "drivers.reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSecret(Cost):
    """The value is not here, nor is anything that tells two values apart."""

    name: str
    replaces: bool

    @property
    def address(self) -> str:
        return f"secrets.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSecret(Cost):
    name: str

    @property
    def address(self) -> str:
        return f"secrets.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRuntime(Cost):
    """`before` None: the device has no runtime of this name yet."""

    name: str
    before: Ref | None
    after: Ref

    @property
    def address(self) -> str:
        return f"runtimes.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallModel(Cost):
    name: str
    after: Ref

    @property
    def address(self) -> str:
        return f"models.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a model gives or costs, before and after; None where nobody measured it."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceModel(Cost):
    """A model that another version or variant takes the place of.

    Args:
        swaps: the pipelines that use it take it over as they run, and stand still where memory is short.
        figures: those that differ: accuracy, agreement, sqnr_db, p50_ms, size_bytes.
    """

    name: str
    before: Ref
    after: Ref
    swaps: bool = False
    figures: tuple[Figure, ...] = ()

    @property
    def address(self) -> str:
        return f"models.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire(Cost):
    """No pipeline uses it any more; it is collected when no kept generation needs it."""

    kind: str
    name: str
    before: Ref

    @property
    def address(self) -> str:
        return f"{self.kind}s.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPipeline(Cost):
    name: str
    model: str
    engine: str

    @property
    def address(self) -> str:
        return f"pipelines.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePipeline(Cost):
    """`fields` may be empty: then only the model or the runtime beneath it is another one.

    Args:
        swaps: the running pipeline takes it over; it stands still where memory is short.
    """

    name: str
    fields: tuple[FieldChange, ...]
    swaps: bool = False

    @property
    def address(self) -> str:
        return f"pipelines.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePipeline(Cost):
    name: str

    @property
    def address(self) -> str:
        return f"pipelines.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepGenerations(Cost):
    before: int
    after: int

    @property
    def address(self) -> str:
        return "keep_generations"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreDrift(Cost):
    """Put back what is not as the device's own last confirmed generation says."""

    kind: str
    path: str
    expected: str
    actual: str

    @property
    def address(self) -> str:
        return f"drift.{self.kind}.{self.path}"


ToolChange = InstallTool | UpdateTool | Enrol
DriverChange = (
    InstallPackage | LoadModule | WriteUdevRule | JoinGroup | SetSysctl | RunVendorRole | Reboot
)
GenerationChange = (
    PutSecret
    | DropSecret
    | SwitchRuntime
    | InstallModel
    | ReplaceModel
    | Retire
    | AddPipeline
    | ChangePipeline
    | RemovePipeline
    | KeepGenerations
    | RestoreDrift
)
Change = ToolChange | DriverChange | GenerationChange


def send_bytes(changes: Iterable[Change]) -> int:
    return sum(change.send_bytes for change in changes)


def downtime_s(changes: Iterable[Change]) -> float | None:
    """How long pipelines stand still, all changes together; None as soon as one cannot say.

    Changes of one generation are switched at once, so the longest counts, not the sum.
    """
    longest = 0.0
    for change in changes:
        if change.downtime_s is None:
            return None
        longest = max(longest, change.downtime_s)
    return longest


def swaps_all(changes: Iterable[Change]) -> bool:
    """Whether whatever stands still does so only where memory has no room for two models."""
    stopping = [change for change in changes if change.downtime_s]
    return bool(stopping) and all(getattr(change, "swaps", False) for change in stopping)


def worst_undo(changes: Iterable[Change]) -> Undoing:
    """What the whole of it can promise: the promise of the change that promises least."""
    order = (Undoing.GENERATION, Undoing.TOOL, Undoing.PACKAGES, Undoing.NONE)
    return max((c.undo for c in changes), key=order.index, default=Undoing.GENERATION)
