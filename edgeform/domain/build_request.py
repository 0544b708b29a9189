"""What a site asks to be built, as far as its files and its lock say it: what a plan compares with the lock.

The bytes of data sets and builders are not in it, so that planning needs neither; `edgeform build` looks at
those.
"""

from typing import Any

from edgeform.domain.artifacts import Variant
from edgeform.domain.builds import Build, Gate, Step
from edgeform.domain.names import Digest
from edgeform.domain.recipes import whole
from edgeform_wire import canonical


def request_of(variant: Variant, build: Build, source: str) -> Digest:
    """One digest over what is asked; `source` is the digest of the model's version."""
    asked = {
        "source": source,
        "engine": variant.engine,
        "target": list(variant.accelerators),
        "entry": build.source,
        "include": list(build.include),
        "recipe": [step_json(whole(step)) for step in build.recipe],
        "calibration": build.calibration,
        "evaluation": build.evaluation,
        "pipeline": build.pipeline,
        "gate": gate_json(build.gate),
    }
    return Digest(canonical.digest_of(asked))


def step_json(step: Step) -> dict[str, Any]:
    """`{"step": name, "parameters": {...}}`."""
    return {"step": step.name, "parameters": dict(step.parameters)}


def gate_json(gate: Gate) -> dict[str, Any]:
    return {
        "accuracy_drop": gate.accuracy_drop,
        "agreement": gate.agreement,
        "sqnr_db": gate.sqnr_db,
        "ladder": list(gate.ladder),
    }
