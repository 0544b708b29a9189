"""From tensors to a result, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, Optional

from edgeform_wire import artifact
from edgeform_wire.fields import Fields


@dataclass(frozen=True)
class Classify:
    top_k: int
    softmax: bool
    labels: Optional[str]
    threshold: float


Postprocess = Classify


def _classify(fields: Fields) -> Classify:
    labels = fields.optional_text("labels")
    if labels is not None:
        artifact.check_paths((labels,))
    return Classify(
        top_k=fields.integer("top_k", 1, 1),
        softmax=fields.boolean("softmax", default=True),
        labels=labels,
        threshold=fields.number("threshold", 0.0),
    )


OPERATORS: Dict[str, Callable[[Fields], Postprocess]] = {"classify": _classify}
