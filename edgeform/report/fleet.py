"""What a page about a fleet shows, as values: no device, file or database behind them any more."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """One word per device. `unseen`: nobody looked this time, which says nothing about it."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    BUSY = "busy"
    NEW = "new"
    EMPTY = "empty"
    NEEDS_HANDS = "needs hands"
    UNREACHABLE = "unreachable"
    UNSEEN = "not looked at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one pipeline measured at each commit, oldest first; `budget_ms` None where nothing was asked."""

    pipeline: str
    p50_ms: tuple[float, ...]
    budget_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """One device.

    Args:
        models: `name version` of each pipeline's model, as the lock has it.
        words: of the drift check; empty where nobody looked.
        notes: why, a sentence each.
        receipts: how many are archived. chain: what is wrong with them, empty for an unbroken chain.
        is_signed: whether the last receipt is signed and the device's key is pinned here.
    """

    device: str
    hardware_class: str
    models: tuple[str, ...]
    generation: int
    digest: str
    health: Health
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    receipts: int = 0
    chain: str = ""
    is_signed: bool = False
    last_result: str = ""
    last_time: str = ""
    latencies: tuple[Latency, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit of the site: in the page it stands beside what devices did after it."""

    digest: str
    author: str
    time_s: int
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A transaction of a device, from its receipt; `commit` is the site's last before it, by the clocks."""

    time: str
    device: str
    result: str
    from_generation: int
    to_generation: int
    digest: str
    road: str
    reason: str
    commit: Commit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One apply, from the journal."""

    number: int
    who: str
    started: str
    finished: str
    exit_code: int | None
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Devices that are wired alike: what they see, what they are, what they act on."""

    sources: tuple[str, ...]
    pipelines: tuple[str, ...]
    hardware_class: str
    sinks: tuple[str, ...]
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The whole page. `looked_at` is empty when no device was asked."""

    site: str
    made_at: str
    looked_at: str
    rows: tuple[DeviceRow, ...]
    moments: tuple[Moment, ...]
    runs: tuple[RunRow, ...]
    lanes: tuple[Lane, ...]
