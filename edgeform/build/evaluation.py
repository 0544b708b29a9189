"""Judging models here: each runs in the packages of a device's closure, with the pipeline's own stages."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeform.build.builders import evaluator_of
from edgeform.build.datasets import DataSet, Sample
from edgeform.build.failure import DataSetUnusable
from edgeform.build.formats import described
from edgeform.build.jobs import run_job
from edgeform.build.recipes import Made, Workshop, copy_files, link_files
from edgeform.build.variant_tree import alone, assembled
from edgeform.domain.hardware import asked_precision
from edgeform.domain.recipes import reference_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A model that went through a data set: its figures, its folder as the engine saw it, its answers.

    `precision` is what the engine was asked for.
    """

    engine: str
    tree: Path
    entry: str
    answers: Path
    figures: Mapping[str, Any]
    precision: str = "f32"

    def results(self) -> list[dict[str, Any]]:
        """The pipeline's result of each sample."""
        found: list[dict[str, Any]] = json.loads((self.answers / "results.json").read_text())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Runs models over one data set."""

    shop: Workshop
    stages: Mapping[str, Any]
    data: DataSet

    def reference(self, source: Path, include: tuple[str, ...], folder: Path) -> Evaluated:
        """The source network's answers, which all that is built from it is compared with."""
        alone(source, include, folder / "in")
        engine = reference_engine(source.name)
        return self._evaluate("the source network", engine, source.name, folder, None, "f32")

    def variant(
        self,
        made: Made,
        engine: str,
        source: Path,
        include: tuple[str, ...],
        reference: Evaluated,
        folder: Path,
    ) -> Evaluated:
        """A variant's answers, compared with the reference's."""
        work = folder / "evaluate"
        assembled(made, source.parent, include, work / "in")
        link_files(reference.answers, work / "reference")
        written = described(engine, made.folder / made.entry).precision or "f32"
        precision = asked_precision("f32", written)
        return self._evaluate("the variant", engine, made.entry, work, "reference", precision)

    def prepared(self, data: DataSet, source: Path, include: tuple[str, ...], folder: Path) -> Path:
        """A data set as tensors for the source network's inputs; the folder that holds them.

        Raises:
            DataSetUnusable: a sample shows the same tensors as one of the evaluation set.
        """
        mine = self._prepare("calibration", data, source, include, folder / "data")
        other = self._prepare("evaluation", self.data, source, include, folder / "other")
        shared = set(mine) & set(other)
        if shared:
            pairs = [
                (data.samples[n].file, self.data.samples[other.index(digest)].file)
                for n, digest in enumerate(mine)
                if digest in shared
            ]
            first = ", ".join(f"{one} = {two}" for one, two in pairs[:3])
            raise DataSetUnusable(
                f"{len(pairs)} calibration samples are, after preprocessing, samples of the evaluation set"
                f" ({first}).",
                address=str(data.folder),
                hint="Take them out of one of the sets.",
            )
        shutil.rmtree(folder / "other")
        return folder / "data" / "out"

    def invented(self, source: Path, include: tuple[str, ...], folder: Path) -> Path:
        """Random tensors for the source network's inputs: what somebody forced."""
        alone(source, include, folder / "in")
        engine = reference_engine(source.name)
        self._run("inventing calibration data", engine, source.name, folder, "invent", {})
        return folder / "out"

    def record(
        self,
        what: str,
        found: Evaluated,
        samples: Sequence[Sample],
        folder: Path,
        *,
        is_outputs_only: bool = False,
    ) -> list[dict[str, Any]]:
        """Inputs and raw answers of samples, as `index.json` of `<folder>/out` tells them."""
        copy_files(found.tree, folder / "in")
        extra = self._data(self.data, samples) | {"is_outputs_only": is_outputs_only}
        self._run(what, found.engine, found.entry, folder, "record", extra, found.precision)
        index: list[dict[str, Any]] = json.loads((folder / "out" / "index.json").read_text())
        return index

    def _prepare(
        self, what: str, data: DataSet, source: Path, include: tuple[str, ...], folder: Path
    ) -> list[str]:
        alone(source, include, folder / "in")
        done = self._run(
            f"preparing the {what} set",
            reference_engine(source.name),
            source.name,
            folder,
            "prepare",
            self._data(data, data.samples),
        )
        return list(done["digests"])

    def _evaluate(
        self,
        what: str,
        engine: str,
        entry: str,
        folder: Path,
        reference: str | None,
        precision: str,
    ) -> Evaluated:
        extra = self._data(self.data, self.data.samples) | {"reference": reference}
        figures = self._run(
            f"evaluating {what}", engine, entry, folder, "evaluate", extra, precision
        )
        return Evaluated(
            engine=engine,
            tree=folder / "in",
            entry=entry,
            answers=folder / "out",
            figures=figures,
            precision=precision,
        )

    def _run(
        self,
        what: str,
        engine: str,
        entry: str,
        folder: Path,
        step: str,
        extra: Mapping[str, Any],
        precision: str = "f32",
    ) -> Mapping[str, Any]:
        evaluator = evaluator_of(engine)
        stages = dict(self.stages) | {"runtime": _runtime(evaluator.name, precision)}
        job = {
            "step": step,
            "source": entry,
            "extra": {
                "engine": evaluator.name.removeprefix("evaluate-"),
                "stages": stages,
                **extra,
            },
        }
        python = self.shop.builders.python(evaluator)
        return run_job(
            python,
            folder,
            job,
            what=what[:1].upper() + what[1:],
            limits=self.shop.limits,
            tell=self.shop.tell,
        ).figures

    def _data(self, data: DataSet, samples: Sequence[Sample]) -> dict[str, Any]:
        return {
            "task": data.task,
            "level": data.level,
            "inputs": [
                {"name": name, "dtype": dtype, "shape": list(shape)}
                for name, dtype, shape in data.inputs
            ],
            "data_folder": str(data.folder.resolve()),
            "samples": [{"file": sample.file, "label": sample.label} for sample in samples],
        }


def _runtime(evaluator: str, precision: str) -> dict[str, Any]:
    """One thread on the CPU, in FP32 where the engine would choose something else and the model does not."""
    provider = {"evaluate-onnxruntime": "CPUExecutionProvider"}.get(evaluator, "CPU")
    return {"threads": 1, "provider": provider, "precision": precision}
