"""From tensors to a result: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Classify:
    """Softmax if asked, then the k best classes with their labels."""

    kind: ClassVar[str] = "classify"
    top_k: int = 1
    softmax: bool = True
    labels: str | None = None
    """Path in the model artifact, one label a line."""
    threshold: float = 0.0


Postprocess = Classify
