"""What is happening, as values: every renderer and every log reads these and nothing else.

`to_json` gives the line of the JSON Lines stream (schemas/events.schema.json); `event` names the type.
"""

from dataclasses import dataclass, fields
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLoaded:
    site: str
    devices: int
    files: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationDone:
    device: str
    reached: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    devices: int
    timestamp_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferProgress:
    device: str
    sent_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    device: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    device: str
    step: str
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStep:
    device: str
    operation: str
    changed: bool
    succeeded: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinished:
    device: str
    pipeline: str
    check: str
    verdict: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCommitted:
    device: str
    from_generation: int
    to_generation: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRolledBack:
    device: str
    from_generation: int
    to_generation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUnchanged:
    device: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFailed:
    """Anything else that ended a device's turn: refused, unreachable, dark, held, needs hands."""

    device: str
    outcome: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildNote:
    """How far the build of a variant is; `variant` is `model/variant`."""

    variant: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFinished:
    """The end of a variant's build: `built`, `cached`, `refused` (by its gate) or `failed`."""

    variant: str
    outcome: str
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence for people, about one device or about the run."""

    device: str
    text: str


Event = (
    SiteLoaded
    | ObservationDone
    | Published
    | TransferProgress
    | StepStarted
    | StepFinished
    | DriverStep
    | CheckFinished
    | DeviceCommitted
    | DeviceRolledBack
    | DeviceUnchanged
    | DeviceFailed
    | BuildNote
    | VariantFinished
    | Note
)


class Listener(Protocol):
    """Whoever wants to know: renderers, the journal, a test's list. Must be thread-safe."""

    def __call__(self, event: Event, /) -> None: ...


def to_json(event: Event) -> dict[str, str | int | float | bool]:
    """The event as one flat JSON object; `event` is its type in snake_case."""
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(event).__name__)
    return {"event": name.removeprefix("_")} | {
        f.name: getattr(event, f.name) for f in fields(event)
    }


def ignore(event: Event) -> None:
    """A listener for callers that do not listen."""
    del event
