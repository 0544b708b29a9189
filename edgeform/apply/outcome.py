"""How one device's turn ended: a value, since forty devices fail independently."""

from dataclasses import dataclass
from typing import assert_never

from edgeform_wire.receipt import SignedReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The new generation is proven and confirmed."""

    device: str
    from_generation: int
    to_generation: int
    receipt: SignedReceipt | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    device: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedBack:
    """The device returned to its old generation and is healthy on it."""

    device: str
    from_generation: int
    to_generation: int
    reason: str
    receipt: SignedReceipt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The device said no before it touched anything; `code` is the device tool's error code."""

    device: str
    code: str
    exit_code: int
    detail: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Not reached, not touched: the same plan may be applied later."""

    device: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dark:
    """Touched and silent since: its own deadline decides, and nobody here knows how."""

    device: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Helpless:
    """Healthy neither on the old nor on the new generation."""

    device: str
    detail: str
    hint: str


Outcome = Committed | Unchanged | TurnedBack | Refused | Pending | Dark | Helpless


def exit_code(outcome: Outcome) -> int:
    """The exit code this outcome contributes to the run."""
    match outcome:
        case Committed() | Unchanged():
            return 0
        case TurnedBack():
            return 5
        case Refused():
            return outcome.exit_code
        case Pending() | Dark():
            return 9
        case Helpless():
            return 20
        case _:
            assert_never(outcome)


def word(outcome: Outcome) -> str:
    """One word for tables and the journal."""
    match outcome:
        case Committed():
            return "committed"
        case Unchanged():
            return "unchanged"
        case TurnedBack():
            return "rolled back"
        case Refused():
            return "held" if outcome.code == "held" else "refused"
        case Pending():
            return "pending"
        case Dark():
            return "dark"
        case Helpless():
            return "needs hands"
        case _:
            assert_never(outcome)


def sentence(outcome: Outcome) -> str:
    """What happened, for people."""
    match outcome:
        case Committed():
            return _moved(outcome.from_generation, outcome.to_generation)
        case Unchanged():
            return f"already on generation {outcome.generation}"
        case TurnedBack():
            return f"back on generation {outcome.to_generation}: {outcome.reason}"
        case Refused() | Pending() | Dark() | Helpless():
            return outcome.detail
        case _:
            assert_never(outcome)


def _moved(before: int, after: int) -> str:
    """An apply makes a generation with a number that is new; a return takes up one that was kept."""
    if after > before:
        return f"generation {before} -> {after}"
    if after == before:
        return f"generation {after}, proven again"
    return f"generation {before} -> {after}, which was kept"
