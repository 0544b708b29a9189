"""What was seen on devices as JSON, one object a line: the `--json` form of the reading verbs."""

import json
from dataclasses import asdict
from typing import Any

from edgeform.domain.observed import Observation, Observed
from edgeform.report.tables import state_of


def observation_json(observation: Observation) -> dict[str, Any]:
    """The observation as one object; `answered` tells the two kinds apart."""
    found = asdict(observation)
    if isinstance(observation, Observed):
        # The manifest is long, its digest says the same; `generations --json` has it.
        del found["manifest"]
        return {"answered": True, "state": state_of(observation), **found}
    return {"answered": False, **found, "reason": str(observation.reason)}


def line(value: dict[str, Any]) -> str:
    """One line of JSON, keys sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
