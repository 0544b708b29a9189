"""What a build found out, as values: the reference, every rung of the ladder, which one was taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeform.build.gate import Verdict, accuracy_drop
from edgeform.domain.build_request import gate_json, step_json
from edgeform.domain.builds import Gate, Step
from edgeform.domain.recipes import whole

SCHEMA = "edgeform.build_report/1"
PASSED, FAILED, REFUSED = "passed", "failed", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class RungReport:
    """One recipe that was tried.

    Args:
        state: `passed`, `failed` (the gate said no), `refused` (a step could not be done; `error` says why).
        figures: of the evaluation; empty where it did not come to that.
    """

    name: str
    recipe: tuple[Step, ...]
    state: str
    precision: str = ""
    size_bytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "recipe": [step_json(whole(step)) for step in self.recipe],
            "state": self.state,
            "precision": self.precision,
            "size_bytes": self.size_bytes,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "figures": dict(self.figures),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """A variant's build, from the reference to what was taken; `taken` is None when nothing passed."""

    model: str
    version: str
    variant: str
    derivation: str
    engine: str
    engine_version: str
    gate: Gate
    task: str
    smallest_provable_drop: float
    reference: Mapping[str, Any]
    reference_size_bytes: int
    rungs: tuple[RungReport, ...]
    is_synthetic: bool = False
    machine: str = ""

    @property
    def taken(self) -> RungReport | None:
        return next((rung for rung in self.rungs if rung.state == PASSED), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "model": self.model,
            "version": self.version,
            "variant": self.variant,
            "derivation": self.derivation,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "gate": gate_json(self.gate),
            "task": self.task,
            "smallest_provable_drop": round(self.smallest_provable_drop, 6),
            "reference": dict(self.reference),
            "reference_size_bytes": self.reference_size_bytes,
            "rungs": [rung.to_json() for rung in self.rungs],
            "taken": None if self.taken is None else self.taken.name,
            "synthetic_calibration": self.is_synthetic,
            "machine": self.machine,
        }


def measures_of(rung: RungReport) -> dict[str, float]:
    """What the artifact keeps: figures that follow from the bytes, and so no times."""
    figures = rung.figures
    found = {
        "agreement": round(float(figures["agreement"]), 4),
        "sqnr_db": round(float(figures["sqnr_db"]), 1),
        "samples": float(figures["samples"]),
    }
    if figures.get("accuracy") is not None:
        found["accuracy"] = round(float(figures["accuracy"]), 4)
        found["accuracy_drop"] = round(accuracy_drop(figures), 4)
    return found
