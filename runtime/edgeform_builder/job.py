"""The job that a step is given and the result that it leaves; docs/reference/recipes.md describes both."""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple

from edgeform_builder.tensors import TensorSet, open_tensors
from edgeform_wire import canonical

JOB_SCHEMA = "edgeform.job/1"
RESULT_SCHEMA = "edgeform.job_result/1"


class Refused(Exception):
    """The model, the data or the parameters cannot be worked with; a sentence for people."""

    def __init__(self, summary: str, hint: str = "") -> None:
        super().__init__(summary)
        self.hint = hint


@dataclass(frozen=True)
class Job:
    """One step to do.

    Args:
        parameters: every parameter of the step, defaults written out.
        source: the file to work on, in `in/`. out: an empty folder for what the step gives.
        calibration: prepared tensors; None where the step needs none.
        target_sqnr_db: what the gate demands, for steps that can aim.
        extra: what a step of its own kind is told beside (stages, samples, a training hook).
    """

    folder: Path
    step: str
    parameters: Mapping[str, Any]
    source: Path
    out: Path
    threads: int
    memory_bytes: int
    seed: int
    target_sqnr_db: float
    calibration_folder: Optional[Path]
    extra: Mapping[str, Any]

    @property
    def calibration(self) -> TensorSet:
        """The calibration tensors.

        Raises:
            Refused: the job has none.
        """
        if self.calibration_folder is None:
            raise Refused("the step needs calibration data, and the job has none")
        return open_tensors(self.calibration_folder)


@dataclass(frozen=True)
class Result:
    """What came out: `entry` is the file in `out/`, or None for steps that give figures only."""

    entry: Optional[str] = None
    notes: Tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    error: Optional[Mapping[str, str]] = None


def failed(code: str, summary: str, hint: str = "") -> Result:
    return Result(error={"code": code, "summary": summary, "hint": hint})


def read(folder: Path) -> Job:
    """The job of a folder."""
    value = canonical.decode((folder / "job.json").read_bytes(), "job")
    if value.get("schema") != JOB_SCHEMA:
        raise ValueError(f"not a job of this version: {value.get('schema')!r}")
    calibration = value.get("calibration")
    return Job(
        folder=folder,
        step=value["step"],
        parameters=value.get("parameters", {}),
        source=folder / "in" / value["source"],
        out=folder / "out",
        threads=value["threads"],
        memory_bytes=value["memory_bytes"],
        seed=value.get("seed", 0),
        target_sqnr_db=value.get("target_sqnr_db", 0.0),
        calibration_folder=None if calibration is None else folder / calibration,
        extra=value.get("extra", {}),
    )


def write(folder: Path, result: Result) -> None:
    """Write the result whole or not at all."""
    value = {
        "schema": RESULT_SCHEMA,
        "entry": result.entry,
        "notes": list(result.notes),
        "figures": dict(result.figures),
        "error": None if result.error is None else dict(result.error),
    }
    part = folder / "result.json.part"
    part.write_bytes(canonical.encode(value))
    os.replace(part, folder / "result.json")


def note(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(json.dumps({"note": text}), flush=True)


def log(text: str) -> None:
    """A line for the log, read when something went wrong."""
    print(text, file=sys.stderr, flush=True)
