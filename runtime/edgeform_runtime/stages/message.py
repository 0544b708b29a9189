"""A result as it is sent to others: JSON with where, when and by what it was made."""

import json
from typing import Any, Dict

from edgeform_runtime.frames import Inferred
from edgeform_runtime.stages.contract import Place

SCHEMA = "edgeform.result/1"


def result_json(place: Place, inferred: Inferred) -> Dict[str, Any]:
    """`docs/reference/stages.md` has the fields."""
    return {
        "schema": SCHEMA,
        "site": place.site,
        "device": place.device,
        "pipeline": place.pipeline,
        "generation": inferred.generation,
        "model": inferred.model_ref,
        "frame": inferred.frame.name,
        "sequence": inferred.frame.sequence,
        "captured_at": round(inferred.frame.captured_at, 3),
        "result": inferred.result,
    }


def result_message(place: Place, inferred: Inferred) -> bytes:
    return json.dumps(result_json(place, inferred), ensure_ascii=False).encode()
