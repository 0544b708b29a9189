"""`stages.thermal` and `stages.shadow`: what a pipeline does when it is hot, and who watches beside it."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from edgeform_runtime.pipeline.bounds import at_least
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

SLOW, SMALLER, PAUSE = "slow", "smaller", "pause"


@dataclass(frozen=True)
class Companion:
    """A model beside the pipeline's own.

    Args:
        model: its artifact's digest. model_ref: its name for people.
        precision: what the engine is asked for; empty: the same as for the pipeline's own.
    """

    model: str
    model_ref: str
    precision: str = ""


@dataclass(frozen=True)
class Rung:
    """One step of the ladder, and where it begins.

    Args:
        name: slow, smaller or pause. fps: frames in a second from here on (slow).
    """

    name: str
    celsius: float
    fps: float = 0.0


@dataclass(frozen=True)
class Thermal:
    """The ladder: each rung includes those below it.

    Args:
        sensor: whose temperature counts; empty for the hottest.
        hysteresis_celsius: by how much it must be cooler to go down again.
        hold_s: how long it must have been cooler.
    """

    rungs: Tuple[Rung, ...]
    sensor: str
    hysteresis_celsius: float
    hold_s: float
    smaller: Optional[Companion]


@dataclass(frozen=True)
class Shadow:
    """`every`: one in so many frames goes through the other model too."""

    every: int
    companion: Companion


def thermal(value: Optional[Dict[str, Any]]) -> Optional[Thermal]:
    """The ladder of `stages.thermal`; None where there is none.

    Raises:
        WireError: a rung that begins below the one before it, or none at all.
    """
    if value is None:
        return None
    fields = Fields(value, "stages.thermal")
    rungs: List[Rung] = []
    smaller: Optional[Companion] = None
    for name in (SLOW, SMALLER, PAUSE):
        inner = fields.object(name, default={})
        if not inner:
            continue
        rung = Fields(inner, f"stages.thermal.{name}")
        celsius = rung.number("celsius")
        fps = at_least(rung.number("fps"), 0.01, "thermal.slow.fps") if name == SLOW else 0.0
        if name == SMALLER:
            smaller = _companion(rung)
        rung.done()
        if rungs and celsius <= rungs[-1].celsius:
            raise WireError(f"stages.thermal.{name} begins below {rungs[-1].name}")
        rungs.append(Rung(name, celsius, fps))
    found = Thermal(
        rungs=tuple(rungs),
        sensor=fields.text("sensor", ""),
        hysteresis_celsius=at_least(fields.number("hysteresis_celsius", 5.0), 0.1, "hysteresis"),
        hold_s=at_least(fields.number("hold_s", 30.0), 0.0, "thermal.hold_s"),
        smaller=smaller,
    )
    fields.done()
    if not rungs:
        raise WireError("stages.thermal has no rung")
    return found


def shadow(value: Optional[Dict[str, Any]]) -> Optional[Shadow]:
    """Who watches, of `stages.shadow`; None where nobody does."""
    if value is None:
        return None
    fields = Fields(value, "stages.shadow")
    found = Shadow(every=fields.integer("every", 1), companion=_companion(fields))
    fields.done()
    return found


def _companion(fields: Fields) -> Companion:
    return Companion(
        model=fields.digest("model"),
        model_ref=fields.text("model_ref"),
        precision=fields.optional_text("precision") or "",
    )
