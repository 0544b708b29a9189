"""A device against its own last confirmed generation, and against what is wanted of it. Pure.

The two are never mixed: `drift` means that the world moved, `pending` that we did. A device that could
not be looked at is `unknown`, never clean.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from edgeform.domain.names import short
from edgeform.domain.observed import DriftFound, Observation, Observed, Unobserved
from edgeform.domain.quantities import show_count
from edgeform.plan import Blocked, Busy, Changed, DevicePlan, Held, Unchanged, Unreachable
from edgeform.plan.changes import Reason

NOT_WORKING = ("failed", "stopped")


class Word(StrEnum):
    CLEAN = "clean"
    DRIFT = "drift"
    PENDING = "pending"
    HELD = "held"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One device.

    Args:
        words: the worst first; a drifted device can be pending, too.
        found: what differs from the confirmed generation.
        notes: a sentence for each of the other words.
        needs_hands: the device says that it cannot help itself.
    """

    device: str
    words: tuple[Word, ...]
    generation: int = 0
    found: tuple[DriftFound, ...] = ()
    notes: tuple[str, ...] = ()
    needs_hands: bool = False


def compare(
    observation: Observation, planned: DevicePlan | None, remembered: str | None = None
) -> Compared:
    """What is to be said about one device.

    Args:
        planned: what a plan would do to it; None where the site has no lock, so nobody can say.
        remembered: digest of the generation that its last archived receipt says it confirmed.
    """
    match observation:
        case Unobserved():
            return Compared(
                device=observation.device,
                words=(Word.UNKNOWN,),
                notes=(f"{observation.reason}: {observation.detail}",),
            )
        case Observed():
            return _seen(observation, planned, remembered)
        case _:
            assert_never(observation)


def _seen(seen: Observed, planned: DevicePlan | None, remembered: str | None) -> Compared:
    # What runs during a transaction is on trial, and judged by it.
    services = () if seen.transaction is not None else _services(seen)
    found = (*seen.drift, *services, *_generation(seen, remembered))
    words = [Word.DRIFT] if found or seen.needs_hands else []
    notes = [seen.needs_hands] if seen.needs_hands else []
    word, note = _wanted(planned)
    if word is not None and not (word is Word.UNKNOWN and words):
        words.append(word)
    if note:
        notes.append(note)
    return Compared(
        device=seen.device,
        words=tuple(words) or (Word.CLEAN,),
        generation=seen.committed,
        found=found,
        notes=tuple(notes),
        needs_hands=bool(seen.needs_hands),
    )


def _services(seen: Observed) -> tuple[DriftFound, ...]:
    told = {d.path for d in seen.drift if d.kind == "service"}
    return tuple(
        DriftFound(kind="service", path=unit, expected="active", actual=health.state)
        for health in seen.health
        for unit in (f"edgeform-pipeline@{health.name}.service",)
        if health.state in NOT_WORKING and unit not in told
    )


def _generation(seen: Observed, remembered: str | None) -> tuple[DriftFound, ...]:
    """A device that confirms another generation than its archived receipts say was changed behind them."""
    if remembered is None or remembered == seen.generation_digest:
        return ()
    actual = seen.generation_digest or "none"
    return (
        DriftFound(
            kind="generation",
            path=f"gen/{seen.committed}/manifest.json",
            expected=remembered,
            actual=actual,
        ),
    )


def _wanted(planned: DevicePlan | None) -> tuple[Word | None, str]:
    match planned:
        case None | Unchanged():
            return None, ""
        case Changed():
            ours = [change for change in planned.changes if change.reason is not Reason.DRIFT]
            count = len(ours)
            return (
                (Word.PENDING, f"{show_count(count, 'change')} waiting for an apply")
                if ours
                else (None, "")
            )
        case Held():
            return Word.HELD, f"{planned.detail} ({short(planned.digest)})"
        case Busy():
            return Word.PENDING, f"{planned.transaction.who} has a transaction under way"
        case Blocked():
            reasons = "; ".join(p.detail or p.summary for p in planned.problems)
            return Word.PENDING, f"blocked: {reasons}"
        case Unreachable():
            return Word.UNKNOWN, planned.detail
        case _:
            assert_never(planned)
