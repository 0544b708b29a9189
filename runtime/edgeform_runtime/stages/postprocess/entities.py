"""Named entities out of one tag per token (BIO: B begins, I goes on, O is outside)."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import InferenceFailed, PipelineInvalid
from edgeform_runtime.pipeline.postprocess import NamedEntities
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.stages.postprocess.boxes import finite
from edgeform_runtime.stages.postprocess.detect import activated
from edgeform_runtime.stages.postprocess.labels import read_labels


@dataclass(frozen=True)
class Entity:
    """Tokens `first` to `last` (inclusive) of one type, with the mean probability of their tags."""

    label: str
    first: int
    last: int
    score: float


@dataclass(frozen=True)
class EntityReader:
    """Entities of a sentence, in its order."""

    stage: NamedEntities
    tags: Tuple[str, ...]

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """`{"kind": "ner", "entities": [{"label", "score", "first", "last", "text"?, ...}]}`.

        Raises:
            InferenceFailed: scores that are not finite, or another number of tags.
        """
        scores = finite(next(iter(outputs.values())), "scores")
        if scores.ndim != 3 or scores.shape[0] != 1 or scores.shape[2] != len(self.tags):
            raise InferenceFailed(
                f"scores of shape {scores.shape} are not 1 x tokens x {len(self.tags)} tags"
            )
        found = entities(activated(scores[0], "softmax"), self.tags, seen.spans)
        return {
            "kind": "ner",
            "entities": [_as_json(e, seen) for e in found if e.score >= self.stage.threshold],
        }


def entities(
    scores: Array, tags: Tuple[str, ...], spans: Tuple[Tuple[int, int], ...] = ()
) -> List[Entity]:
    """The entities of (tokens, tags) probabilities.

    An I without a fitting B before it begins an entity. Tokens without text (padding, special ones)
    are outside of any entity, whatever the model says of them.
    """
    best = scores.argmax(axis=1)
    count = min(len(best), len(spans)) if spans else len(best)
    found: List[Entity] = []
    open_label: Optional[str] = None
    first = 0
    for place in range(count + 1):
        tag = tags[best[place]] if place < count else "O"
        if place < count and spans and spans[place][0] >= spans[place][1]:
            tag = "O"
        label = tag[2:] if tag[:2] in ("B-", "I-") else None
        if open_label is not None and (label != open_label or tag.startswith("B-")):
            mean = float(np.mean(scores[range(first, place), best[first:place]]))
            found.append(Entity(open_label, first, place - 1, mean))
            open_label = None
        if label is not None and open_label is None:
            open_label, first = label, place
    return found


def _as_json(entity: Entity, seen: Seen) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        "label": entity.label,
        "score": round(entity.score, 6),
        "first": entity.first,
        "last": entity.last,
    }
    if seen.text is not None and seen.spans:
        start, end = seen.spans[entity.first][0], seen.spans[entity.last][1]
        found.update(start=start, end=end, text=seen.text[start:end])
    return found


def entity_reader(stage: NamedEntities, model_tree: str, tags: int) -> EntityReader:
    """The stage with its tags read; `tags` is -1 where the model leaves the number open.

    Raises:
        PipelineInvalid: the tags cannot be read, are not as many, or are none of B-X, I-X, O.
    """
    labels = read_labels(model_tree, stage.labels, tags)
    for label in labels:
        if label != "O" and (label[:2] not in ("B-", "I-") or len(label) == 2):
            raise PipelineInvalid(f"{stage.labels}: {label!r:.80} is none of O, B-<type>, I-<type>")
    return EntityReader(stage=stage, tags=labels)
