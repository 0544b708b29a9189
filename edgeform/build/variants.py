"""A variant from its source: calibrate, try the recipe and its ladder, judge, make goldens, sign nothing.

Everything happens in a folder that is gone afterwards; the store sees the artifact only when it is whole.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeform.build import datasets
from edgeform.build.builders import Builder, builder_of, evaluator_of, version_in
from edgeform.build.datasets import DataSet
from edgeform.build.derivation import Derivation
from edgeform.build.evaluation import Evaluated, Evaluator
from edgeform.build.failure import ModelUnusable, VariantRefused
from edgeform.build.figures import FAILED, PASSED, REFUSED, BuildReport, RungReport, measures_of
from edgeform.build.formats import described
from edgeform.build.gate import judged
from edgeform.build.model import model_artifact
from edgeform.build.origin import write_origin
from edgeform.build.recipes import Made, Workshop, run_recipe
from edgeform.build.tree import BlobSink
from edgeform.build.variant_goldens import write_goldens
from edgeform.build.variant_tree import assembled
from edgeform.domain.artifacts import Variant
from edgeform.domain.builds import SYNTHETIC, Build
from edgeform.domain.recipes import CALIBRATION, KINDS, needs, reference_engine, rungs
from edgeform_wire.artifact import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRequest:
    """A variant to build.

    Args:
        folder: the version's files, verified; source_digest covers them.
        stages: the pipeline's, as in a pipeline file; inputs go through its preprocessing.
        calibration: None where no step needs one, or where it is synthetic.
        is_synthetic: nobody recorded what it calibrates with, and somebody forced that; without a
            calibration set, uniform random tensors are invented.
    """

    model: str
    version: str
    epoch: int
    variant: Variant
    build: Build
    folder: Path
    source_digest: str
    stages: Mapping[str, Any]
    evaluation: DataSet
    calibration: DataSet | None
    is_synthetic: bool = False

    @property
    def source(self) -> Path:
        return self.folder.joinpath(*self.build.source.split("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltVariant:
    """The artifact, whose files the sink has, and how it came about."""

    artifact: Artifact
    report: BuildReport


def check_data(request: VariantRequest, *, is_forced: bool) -> None:
    """Refuse data sets that prove nothing.

    Raises:
        DataSetUnusable: see `datasets`.
    """
    datasets.check_evaluation(request.evaluation, request.build.gate.accuracy_drop)
    if request.is_synthetic and not is_forced:
        raise datasets.synthetic_refused(f"variant {request.variant.name}")
    if request.calibration is not None:
        datasets.check_calibration(request.calibration, is_forced=is_forced)
        datasets.check_disjoint(request.calibration, request.evaluation)


def builders_of(build: Build, engine: str) -> tuple[Builder, ...]:
    """Every closure that the recipe or a rung of its ladder may need, and the evaluators, by name.

    Raises:
        BuilderUnavailable: this edgeform has no such builder, or nothing here runs the engine.
    """
    names = {KINDS[step.name].builder for _, recipe in rungs(build) for step in recipe}
    found = [builder_of(name) for name in sorted(names)]
    engines = (engine, reference_engine(build.source))
    judges = {evaluator_of(name).name: evaluator_of(name) for name in engines}
    return (*found, *(judges[name] for name in sorted(judges)))


def derivation_of(request: VariantRequest) -> Derivation:
    """What the variant follows from."""
    engine = request.variant.engine
    invented = SYNTHETIC if request.is_synthetic else None
    return Derivation(
        source=request.source_digest,
        entry=request.build.source,
        include=request.build.include,
        recipe=request.build.recipe,
        calibration=request.calibration.digest if request.calibration else invented,
        evaluation=request.evaluation.digest,
        stages={key: request.stages[key] for key in ("capture", "preprocess", "postprocess")},
        gate=request.build.gate,
        builders=tuple((b.name, b.digest) for b in builders_of(request.build, engine)),
        target=tuple(sorted(request.variant.accelerators)),
        engine=(engine, version_in(evaluator_of(engine), engine)),
    )


def build_variant(request: VariantRequest, shop: Workshop, sink: BlobSink | None) -> BuiltVariant:
    """Build it, judge it, and put its files into the sink.

    Raises:
        ModelUnusable: the source is hostile, damaged, or no step can work with it.
        VariantRefused: nothing that was tried passes the gate; carries the report.
        BuildFailed, BuilderUnavailable, DataSetUnusable: see there.
    """
    derivation = derivation_of(request)
    _check_source(request)
    judge = Evaluator(shop=shop, stages=request.stages, data=request.evaluation)
    reference = judge.reference(request.source, request.build.include, shop.folder / "reference")
    calibration = _calibration(request, judge, shop)
    tried: list[RungReport] = []
    taken: tuple[RungReport, Made, Evaluated] | None = None
    for number, (name, recipe) in enumerate(rungs(request.build)):
        shop.tell(f"{request.model} {request.variant.name}: {name}")
        folder = shop.folder / f"rung-{number}"
        found = _rung(request, name, recipe, shop, folder, calibration, judge, reference)
        tried.append(found[0])
        if found[1] is not None and found[0].state == PASSED:
            taken = (found[0], *found[1])
            break
    report = _report(request, derivation, reference, tuple(tried))
    if taken is None:
        raise _refused(request, report)
    rung, made, evaluated = taken
    tree = assembled(made, request.source.parent, request.build.include, shop.folder / "artifact")
    try:
        said = write_goldens(
            tree,
            request=request,
            shop=shop,
            precision=rung.precision,
            engine_version=derivation.engine[1],
            reference=reference,
            evaluated=evaluated,
        )
    except VariantRefused as exc:
        exc.report = report
        raise
    rung = replace(rung, notes=(*rung.notes, said))
    report = replace(report, rungs=(*report.rungs[:-1], rung))
    artifact = _artifact(tree, request, derivation, sink, report, rung, made.entry)
    return BuiltVariant(artifact=artifact, report=report)


def _check_source(request: VariantRequest) -> None:
    """Nothing opens the source before it is known to refer to nothing outside its folder."""
    if not request.source.is_file() or request.source.is_symlink():
        raise ModelUnusable(
            f"There is no {request.build.source} in {request.model} {request.version}.",
            address=f"models.{request.model}.variants.{request.variant.name}.build.source",
            hint="See what the version has:\n    edgeform registry show MODEL",
        )
    described(reference_engine(request.build.source), request.source)


def _calibration(request: VariantRequest, judge: Evaluator, shop: Workshop) -> Path | None:
    every = [recipe for _, recipe in rungs(request.build)]
    if not any(needs(recipe, CALIBRATION) for recipe in every):
        return None
    if request.calibration is None:
        if not request.is_synthetic:
            return None
        return judge.invented(request.source, request.build.include, shop.folder / "calibration")
    return judge.prepared(
        request.calibration, request.source, request.build.include, shop.folder / "calibration"
    )


def _rung(
    request: VariantRequest,
    name: str,
    recipe: tuple[Any, ...],
    shop: Workshop,
    folder: Path,
    calibration: Path | None,
    judge: Evaluator,
    reference: Evaluated,
) -> tuple[RungReport, tuple[Made, Evaluated] | None]:
    gate = request.build.gate
    try:
        made = run_recipe(
            recipe,
            reference.tree,
            shop,
            folder,
            entry=reference.entry,
            calibration=calibration,
            target_sqnr_db=gate.sqnr_db,
        )
        evaluated = judge.variant(
            made, request.variant.engine, request.source, request.build.include, reference, folder
        )
    except ModelUnusable as exc:
        shop.tell(f"{name}: {exc.detail}")
        return RungReport(name=name, recipe=recipe, state=REFUSED, error=exc.detail), None
    verdicts = judged(gate, evaluated.figures)
    passed = all(verdict.passed for verdict in verdicts)
    for verdict in verdicts:
        mark = "ok" if verdict.passed else "FAILED"
        shop.tell(f"{name}: {verdict.name} {verdict.found}, wanted {verdict.wanted}: {mark}")
    precision = described(request.variant.engine, made.folder / made.entry).precision
    rung = RungReport(
        name=name,
        recipe=recipe,
        state=PASSED if passed else FAILED,
        precision=precision or "f32",
        size_bytes=made.size_bytes,
        seconds=made.seconds,
        notes=made.notes,
        verdicts=verdicts,
        figures=evaluated.figures,
    )
    return rung, (made, evaluated)


def _report(
    request: VariantRequest,
    derivation: Derivation,
    reference: Evaluated,
    tried: tuple[RungReport, ...],
) -> BuildReport:
    return BuildReport(
        model=request.model,
        version=request.version,
        variant=request.variant.name,
        derivation=derivation.digest,
        engine=derivation.engine[0],
        engine_version=derivation.engine[1],
        gate=request.build.gate,
        task=request.evaluation.task,
        smallest_provable_drop=datasets.smallest_provable_drop(len(request.evaluation.samples)),
        reference=reference.figures,
        reference_size_bytes=request.source.stat().st_size,
        rungs=tried,
        is_synthetic=request.is_synthetic,
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    )


def _refused(request: VariantRequest, report: BuildReport) -> VariantRefused:
    lines = []
    for rung in report.rungs:
        if rung.state == REFUSED:
            lines.append(f"{rung.name}: {rung.error}")
        else:
            failed = [v for v in rung.verdicts if not v.passed]
            said = "; ".join(f"{v.name} {v.found}, wanted {v.wanted}" for v in failed)
            lines.append(f"{rung.name}: {said}")
    error = refused(
        request.model,
        request.variant.name,
        f"{request.model} {request.version}, variant {request.variant.name}: nothing that was tried is right"
        " enough.\n" + "\n".join(lines),
    )
    error.report = report
    return error


def refused(model: str, variant: str, detail: str) -> VariantRefused:
    """That nothing passes the gate, also when that was found out by an earlier build."""
    return VariantRefused(
        detail,
        address=f"models.{model}.variants.{variant}.build.gate",
        hint="Calibrate with more of what the devices see, take another recipe, or say by `gate` how much"
        " less accuracy is acceptable.",
    )


def _artifact(
    tree: Path,
    request: VariantRequest,
    derivation: Derivation,
    sink: BlobSink | None,
    report: BuildReport,
    rung: RungReport,
    entry: str,
) -> Artifact:
    origin = write_origin(
        tree,
        request=request,
        derivation=derivation,
        report=report,
        builders=builders_of(request.build, request.variant.engine),
    )
    found = model_artifact(
        tree,
        request.model,
        request.version,
        request.variant.name,
        engine=request.variant.engine,
        accelerators=tuple(request.variant.accelerators),
        entry=entry,
        measures=measures_of(rung),
        epoch=request.epoch,
        sink=sink,
    )
    built: dict[str, object] = {"derivation": derivation.digest, "rung": rung.name}
    if request.is_synthetic:
        built["calibration"] = SYNTHETIC
    return replace(
        found,
        metadata={**found.metadata, "built": built},
        provenance=origin.provenance,
        sbom=origin.sbom,
    )
