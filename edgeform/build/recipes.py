"""A recipe, step after step: each in its builder's closure and in a folder of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeform.build.builders import Builders, builder_of
from edgeform.build.failure import BuildFailed
from edgeform.build.formats import described
from edgeform.build.jobs import JobLimits, run_job
from edgeform.domain.builds import Step
from edgeform.domain.recipes import CALIBRATION, ENDINGS, KINDS

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where recipes run: the builders, what a step may take, and a folder for what comes between."""

    builders: Builders
    limits: JobLimits
    folder: Path
    tell: Tell = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a recipe gave: the entry file in a folder of its own, and what the steps noticed."""

    folder: Path
    entry: str
    notes: tuple[str, ...]
    seconds: float

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def run_recipe(
    recipe: tuple[Step, ...],
    source: Path,
    shop: Workshop,
    folder: Path,
    *,
    entry: str,
    calibration: Path | None,
    target_sqnr_db: float,
) -> Made:
    """Run every step in order.

    Args:
        source: a folder with the model and what it refers to; `entry` is its file there.
        folder: a new folder. calibration: prepared tensors.

    Raises:
        ModelUnusable: a step refuses, or what it gave is no file of the format that it promised.
        BuildFailed, BuilderUnavailable: see `jobs` and `builders`.
    """
    current = source
    notes: list[str] = []
    seconds = 0.0
    for number, step in enumerate(recipe):
        kind = KINDS[step.name]
        work = folder / f"{number}-{step.name}"
        copy_files(
            current, work / "in"
        )  # a copy: no step can change what the next rung begins with
        job: dict[str, object] = {
            "step": step.name,
            "parameters": kind.parameters_of(step),
            "source": entry,
            "seed": 0,
            "target_sqnr_db": target_sqnr_db,
        }
        if CALIBRATION in kind.needs and calibration is not None:
            link_files(calibration, work / "calibration")
            job["calibration"] = "calibration"
        python = shop.builders.python(builder_of(kind.builder))
        what = f"Step {step.name}"
        done = run_job(python, work, job, what=what, limits=shop.limits, tell=shop.tell)
        current, entry = work / "out", done.entry or ""
        if not entry.endswith(ENDINGS[kind.gives]) or not (current / entry).is_file():
            raise BuildFailed(f"{what} said that it is done and left no {kind.gives} model.")
        _check(kind.gives, current / entry)
        notes += [f"{step.name}: {note}" for note in done.notes]
        seconds += done.seconds
    return Made(folder=current, entry=entry, notes=tuple(notes), seconds=seconds)


def copy_files(source: Path, target: Path) -> None:
    """The files of a folder in another one."""
    for path, place in _files(source, target):
        shutil.copyfile(path, place)


def link_files(source: Path, target: Path) -> None:
    """The same by links where the disk can: for what is large and ours."""
    for path, place in _files(source, target):
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)


def _files(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            yield path, place


_READERS = {"onnx": "onnxruntime", "openvino-ir": "openvino", "tflite": "litert"}


def _check(form: str, path: Path) -> None:
    """A step's output is judged like a file from anywhere: no foreign operators, no weights elsewhere."""
    described(_READERS[form], path)
