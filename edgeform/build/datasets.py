"""Data sets: folders of samples with a manifest, known by what they hold.

A data set's digest covers its task, every sample's bytes and every label, and neither names nor order of
keys: the same pictures in another folder are the same data set. What would make a gate meaningless is
refused here: nothing in it, one class only, too little to prove anything, calibration in the evaluation.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgeform.build.failure import DataSetUnusable
from edgeform.shipped import shipped
from edgeform.spec.schema import Validator, validator_of
from edgeform_wire import canonical
from edgeform_wire import digest as digests
from edgeform_wire.artifact import check_paths
from edgeform_wire.errors import WireError

MANIFEST = "dataset.json"
SCHEMA = "edgeform.dataset/1"
CLASSIFICATION, DETECTION, UNLABELLED = "classification", "detection", "none"
CONFIDENCE = 0.95
"""How sure the gate wants to be that a drop is not hidden by too small a set."""
FEWEST_CALIBRATING = 16
"""Fewer say little about ranges: 8 samples cost 6 dB against 200 (MobileNetV2-like, x86-64, 2026-11-22)."""
LARGEST_MANIFEST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One input: a file as the capture gives it, or raw tensors; `label` as the manifest has it."""

    file: str
    digest: str
    label: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A data set that has been read whole.

    Args:
        level: `encoded`, or `tensor`: each file then holds the tensors of `inputs`, one after the other.
        inputs: (name, dtype, shape) of the tensors.
        is_synthetic: nobody recorded it; what is calibrated with it says so for ever.
    """

    folder: Path
    task: str
    level: str
    samples: tuple[Sample, ...]
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    is_synthetic: bool = False

    @property
    def digest(self) -> str:
        return canonical.digest_of(
            {
                "schema": SCHEMA,
                "task": self.task,
                "level": self.level,
                "inputs": [[name, dtype, list(shape)] for name, dtype, shape in self.inputs],
                "synthetic": self.is_synthetic,
                "samples": [[sample.digest, sample.label] for sample in self.samples],
            }
        )

    @property
    def classes(self) -> Counter[str]:
        """How often each label stands in a set for classification."""
        return Counter(str(sample.label) for sample in self.samples if sample.label is not None)


def read(folder: Path) -> DataSet:
    """The data set of a folder, every file of it hashed.

    Raises:
        DataSetUnusable: no manifest or a wrong one, a file that is missing, empty or a link.
    """
    manifest = folder / MANIFEST
    value = _manifest(manifest)
    inputs = tuple((i["name"], i["dtype"], tuple(i["shape"])) for i in value.get("inputs", ()))
    if value["level"] == "tensor" and not inputs:
        raise DataSetUnusable(
            "Its samples are tensors, and `inputs` does not say which.",
            address=str(manifest),
            hint='Add "inputs": [{"name": ..., "dtype": "float32", "shape": [1, ...]}].',
        )
    try:
        check_paths(tuple(sample["file"] for sample in value["samples"]))
    except WireError as exc:
        raise DataSetUnusable(f"{exc}.", address=str(manifest)) from exc
    return DataSet(
        folder=folder,
        task=value["task"],
        level=value["level"],
        inputs=inputs,
        is_synthetic=value.get("synthetic", False),
        samples=tuple(
            Sample(
                file=item["file"],
                digest=_hashed(folder, item["file"], manifest),
                label=item.get("label"),
            )
            for item in value["samples"]
        ),
    )


def check_evaluation(found: DataSet, accuracy_drop: float) -> None:
    """Refuse a set that could not show whether a variant is right.

    Raises:
        DataSetUnusable: empty, unlabelled samples, one class, or too few samples for the gate's figure.
    """
    where = str(found.folder)
    if not found.samples:
        raise DataSetUnusable("The evaluation set is empty.", address=where)
    if found.task != UNLABELLED and any(s.label is None for s in found.samples):
        lacking = next(s.file for s in found.samples if s.label is None)
        raise DataSetUnusable(
            f"{lacking} has no label, and the task is {found.task}.",
            address=where,
            hint='Label it, or say "task": "none": then only agreement and SQNR are judged.',
        )
    if found.task == CLASSIFICATION and len(found.classes) == 1:
        raise DataSetUnusable(
            f"All {len(found.samples)} samples show {next(iter(found.classes))!r}: a network that always says"
            " so would pass.",
            address=where,
            hint="Add samples of the other classes.",
        )
    least = smallest_provable_drop(len(found.samples))
    if accuracy_drop < least:
        raise DataSetUnusable(
            f"{len(found.samples)} samples cannot prove that accuracy drops by at most {accuracy_drop:.3g}:"
            f" with no error at all, the drop may still be {least:.3g} ({CONFIDENCE:.0%} sure).",
            address=where,
            hint=f"Take at least {samples_for(accuracy_drop)} samples, or set"
            f" `gate: {{accuracy_drop: {math.ceil(least * 1000) / 1000:g}}}`.",
        )


def check_calibration(found: DataSet, *, is_forced: bool) -> None:
    """Refuse a set that says little about what the network will see.

    Raises:
        DataSetUnusable: too few samples, or nobody recorded them and that was not forced.
    """
    if found.is_synthetic and not is_forced:
        raise synthetic_refused(str(found.folder))
    if len(found.samples) < FEWEST_CALIBRATING:
        raise DataSetUnusable(
            f"The calibration set has {len(found.samples)} samples; {FEWEST_CALIBRATING} are the fewest.",
            address=str(found.folder),
            hint="Take 100 to 500 samples of what the devices see.",
        )


def synthetic_refused(where: str) -> DataSetUnusable:
    return DataSetUnusable(
        "The calibration data are synthetic. Ranges that no camera gave cost a network 84 of 100 points of"
        " accuracy (measured, docs/reference/recipes.md).",
        address=where,
        hint="Record 100 samples of what the devices see. If you must:\n"
        "    edgeform build --force-synthetic-calibration\n"
        "The artifact then says so for ever.",
    )


def check_disjoint(calibration: DataSet, evaluation: DataSet) -> None:
    """Refuse an evaluation set that shares samples with the calibration set, whatever their names.

    Raises:
        DataSetUnusable: names the samples.
    """
    known = {sample.digest: sample.file for sample in calibration.samples}
    shared = [(known[s.digest], s.file) for s in evaluation.samples if s.digest in known]
    if shared:
        first = ", ".join(f"{mine} = {theirs}" for mine, theirs in shared[:3])
        raise DataSetUnusable(
            f"{len(shared)} of {len(evaluation.samples)} samples of the evaluation set stand in the"
            f" calibration set as well ({first}): the gate would praise what was tuned to them.",
            address=str(evaluation.folder),
            hint=f"Take them out of {calibration.folder}.",
        )


def smallest_provable_drop(samples: int) -> float:
    """The drop that a set of that size cannot exclude even when no answer changes for the worse.

    With a share p of answers getting worse, none of n shows it with probability (1-p)^n; the largest p for
    which that is not unlikely. The rule of three says the same: 3/n.
    """
    return float(1.0 - (1.0 - CONFIDENCE) ** (1.0 / samples))


def samples_for(drop: float) -> int:
    """How many samples it takes to prove that drop."""
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log(1.0 - min(drop, 0.999)))


@cache
def _validator() -> Validator:
    return validator_of(json.loads(shipped("schemas", "dataset.schema.json").read_text("utf-8")))


def _manifest(path: Path) -> Any:
    hint = "docs/reference/recipes.md shows a whole one."
    try:
        if path.stat().st_size > LARGEST_MANIFEST_BYTES:
            raise DataSetUnusable(
                "The manifest is larger than 64 MiB.", address=str(path), hint=hint
            )
        value = json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        raise DataSetUnusable("There is no such data set.", address=str(path), hint=hint) from exc
    except OSError as exc:
        raise DataSetUnusable(f"{exc.strerror}.", address=str(path)) from exc
    except (ValueError, RecursionError) as exc:
        raise DataSetUnusable(f"It is no JSON: {exc}.", address=str(path), hint=hint) from exc
    if not _validator().accepts(value):
        finding = next(iter(_validator().findings(value)))
        where = ".".join(str(step) for step in finding.path) or "the object itself"
        raise DataSetUnusable(
            f"{where} breaks {finding.keyword!r} of schemas/dataset.schema.json.",
            address=str(path),
            hint=hint,
        )
    return value


def _hashed(folder: Path, name: str, manifest: Path) -> str:
    path = folder.joinpath(*name.split("/"))
    inner = [folder.joinpath(*name.split("/")[:n]) for n in range(1, name.count("/") + 2)]
    if any(part.is_symlink() for part in inner) or not path.is_file():
        raise DataSetUnusable(f"{name} is missing, or a link.", address=str(manifest))
    if path.stat().st_size == 0:
        raise DataSetUnusable(f"{name} is empty.", address=str(manifest))
    return str(digests.of_file(str(path)))
