"""What looking at a file gave, as values."""

from dataclasses import dataclass

Tensor = tuple[str, str, tuple[int, ...]]
"""(name, dtype, shape); -1 where the file leaves an extent open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """Something about a file that matters before anybody opens it.

    Args:
        is_refused: edgeform does not take the file in; otherwise it is for a person to know.
    """

    what: str
    why: str
    is_refused: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a file says of itself; fields are None or empty where its format does not say them."""

    format: str
    precision: str | None = None
    opset: str | None = None
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    parameters: int | None = None
    external: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    hazards: tuple[Hazard, ...] = ()

    @property
    def is_refused(self) -> bool:
        return any(hazard.is_refused for hazard in self.hazards)


def damaged(format_name: str, why: str) -> Inspected:
    """A file of a known format that is not whole."""
    return Inspected(format=format_name, hazards=(Hazard(what="damaged or hostile", why=why),))
