"""A plan: what would be done to every device of a site, as values.

Each device is in exactly one of six situations; only `Changed` has something to apply, and a device
that could not be looked at is never taken for a clean one.
"""

from dataclasses import dataclass

from edgeform.diagnostics import Diagnostic
from edgeform.domain.observed import PendingTransaction
from edgeform.plan.changes import Change, send_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The state of the device that the plan was made for; the device refuses any other.

    Args:
        generation: the committed one, 0 for none. digest: of its manifest.
        facts_digest: what the probe saw; boot_id: for people only, a reboot alone stales nothing.
    """

    generation: int
    digest: str | None
    deployment: int
    facts_digest: str
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """`target` is the digest of the generation it shall have; `reasons` say why this variant."""

    device: str
    hardware_class: str
    base: Base
    target: str
    changes: tuple[Change, ...]
    reasons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    device: str
    hardware_class: str
    base: Base


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    device: str
    hardware_class: str
    reason: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """`base` None: it was not even looked at, or could not be."""

    device: str
    hardware_class: str
    base: Base | None
    problems: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What it should become has failed on this very device before; nothing re-applies it by itself."""

    device: str
    hardware_class: str
    base: Base
    digest: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    device: str
    hardware_class: str
    base: Base
    transaction: PendingTransaction


DevicePlan = Changed | Unchanged | Unreachable | Blocked | Held | Busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    changed: int = 0
    unchanged: int = 0
    unreachable: int = 0
    blocked: int = 0
    held: int = 0
    busy: int = 0
    send_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done, and from what it was worked out.

    Args:
        selector: which devices were asked for; empty for all.
        created_at: ISO 8601 in UTC, as the caller's clock says.
    """

    site: str
    spec_digest: str
    lock_digest: str
    tool_digest: str
    created_at: str
    made_by: str
    devices: tuple[DevicePlan, ...]
    selector: str = ""

    @property
    def changed(self) -> tuple[Changed, ...]:
        return tuple(d for d in self.devices if isinstance(d, Changed))

    @property
    def summary(self) -> Summary:
        return Summary(
            changed=len(self.changed),
            unchanged=self._count(Unchanged),
            unreachable=self._count(Unreachable),
            blocked=self._count(Blocked),
            held=self._count(Held),
            busy=self._count(Busy),
            send_bytes=sum(send_bytes(d.changes) for d in self.changed),
        )

    @property
    def exit_codes(self) -> frozenset[int]:
        """Every exit code that applies, for `errors.worst_of`; 2 only counts where it is asked for."""
        summary = self.summary
        found = {
            2: summary.changed,
            3: summary.blocked + summary.held,
            7: summary.busy,
            9: summary.unreachable,
            20: sum(
                p.code == "EF2120"
                for d in self.devices
                if isinstance(d, Blocked)
                for p in d.problems
            ),
        }
        return frozenset(code for code, count in found.items() if count)

    def _count(self, kind: type[DevicePlan]) -> int:
        return sum(isinstance(d, kind) for d in self.devices)
