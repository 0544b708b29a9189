"""Models that a pipeline holds beside its own: a smaller one for when it is hot, and one that only watches.

They stand in the stages by the digest of their artifact, are loaded into slots of their own, and are judged
by their own goldens before a commit, like the model itself.
"""

from typing import Any, Dict, Tuple

SMALLER, SHADOW = "smaller", "shadow"


def companions(stages: Dict[str, Any]) -> Tuple[Tuple[str, str], ...]:
    """(slot, artifact digest) of each."""
    found = []
    thermal, shadow = stages.get("thermal"), stages.get("shadow")
    smaller = thermal.get("smaller") if isinstance(thermal, dict) else None
    for slot, value in ((SMALLER, smaller), (SHADOW, shadow)):
        digest = value.get("model") if isinstance(value, dict) else None
        if isinstance(digest, str):
            found.append((slot, digest))
    return tuple(found)
