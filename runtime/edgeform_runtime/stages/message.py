"""A result as it is sent to others: JSON with where, when and by what it was made.

Where the site allows results only, what is not named here as a result stays on the device, so that a new
kind of postprocessing cannot send more by accident.
"""

import json
from typing import Any, Dict, Mapping

from edgeform_runtime.frames import Inferred
from edgeform_runtime.pipeline.stages import RESULTS_ONLY
from edgeform_runtime.stages.contract import Place

SCHEMA = "edgeform.result/1"
RESULT_FIELDS = ("kind", "width", "height", "value", "is_over", "score", "is_anomaly")
ITEM_FIELDS = ("index", "label", "score", "box", "first", "last", "start", "end")
ITEMS = ("classes", "detections", "entities")


def result_json(place: Place, inferred: Inferred) -> Dict[str, Any]:
    """`docs/reference/results.md` has the fields."""
    is_reduced = place.egress == RESULTS_ONLY
    return {
        "schema": SCHEMA,
        "site": place.site,
        "device": place.device,
        "pipeline": place.pipeline,
        "generation": inferred.generation,
        "model": inferred.model_ref,
        "frame": "" if is_reduced else inferred.frame.name,
        "sequence": inferred.frame.sequence,
        "captured_at": round(inferred.frame.captured_at, 3),
        "result": reduced(inferred.result) if is_reduced else inferred.result,
    }


def reduced(result: Mapping[str, Any]) -> Dict[str, Any]:
    """The result without anything of the input: no words of a text, no field that nobody has listed."""
    found = {name: result[name] for name in RESULT_FIELDS if name in result}
    for name in ITEMS:
        if name in result:
            found[name] = [
                {field: item[field] for field in ITEM_FIELDS if field in item}
                for item in result[name]
            ]
    return found


def result_message(place: Place, inferred: Inferred) -> bytes:
    return json.dumps(result_json(place, inferred), ensure_ascii=False).encode()
