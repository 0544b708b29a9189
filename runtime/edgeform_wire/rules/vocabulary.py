"""The fields that a rule may name, by the kind of result: one list for both sides."""

from dataclasses import dataclass
from typing import Dict, Mapping

from edgeform_wire.rules.tree import NUMBER, TEXT, TRUTH


@dataclass(frozen=True)
class Vocabulary:
    """Names with their types.

    Args:
        result: fields of the result itself. items: fields of each thing in it. list_name: where the
            things stand in the result; empty where a result has none.
    """

    result: Mapping[str, str]
    items: Mapping[str, str]
    list_name: str


_DETECTED: Dict[str, str] = {
    "class": TEXT,
    "index": NUMBER,
    "score": NUMBER,
    "x": NUMBER,
    "y": NUMBER,
    "width": NUMBER,
    "height": NUMBER,
    "area": NUMBER,
}
_DETECT = Vocabulary(result={}, items=_DETECTED, list_name="detections")

VOCABULARIES: Mapping[str, Vocabulary] = {
    "classify": Vocabulary(
        result={"class": TEXT, "score": NUMBER},
        items={"class": TEXT, "index": NUMBER, "score": NUMBER},
        list_name="classes",
    ),
    "yolov8": _DETECT,
    "anchors": _DETECT,
    "ner": Vocabulary(
        result={},
        items={"class": TEXT, "score": NUMBER, "text": TEXT, "first": NUMBER, "last": NUMBER},
        list_name="entities",
    ),
    "threshold": Vocabulary(result={"value": NUMBER, "is_over": TRUTH}, items={}, list_name=""),
    "anomaly": Vocabulary(result={"score": NUMBER, "is_anomaly": TRUTH}, items={}, list_name=""),
}
"""By the kind of the postprocess operator; x and y are a box's centre, all in parts of the frame."""
