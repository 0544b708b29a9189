"""What a result does: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocally:
    """Keep results as JSON Lines below the prefix, oldest files go first at the limits."""

    kind: ClassVar[str] = "store"
    directory: str = "results"
    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 7 * 86400.0
    frames: str = "none"
    """none, or encoded: the frame as captured is kept beside its result."""


Action = StoreLocally
