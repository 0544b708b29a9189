"""Rules for variants that are built: one origin, a recipe whose steps fit, data sets that are there."""

from collections.abc import Iterator
from pathlib import Path

from edgeform.diagnostics import Diagnostic
from edgeform.domain.builds import SYNTHETIC, Build
from edgeform.domain.recipes import CALIBRATION, KINDS, READ_BY, format_of, needs, source_format
from edgeform.spec import codes_site as ef
from edgeform.spec import decode_build, fields
from edgeform.spec.codes import Code
from edgeform.spec.nodes import Path as Place
from edgeform.spec.objects import Catalog, Object


def builds(catalog: Catalog, site_folder: Path) -> Iterator[Diagnostic]:
    """What is wrong with the variants of a site's models."""
    for model in catalog.of("Model"):
        if not model.is_sound:
            continue
        for number, variant in enumerate(fields.blocks(model.spec, "variants")):
            at: Place = ("spec", "variants", number)
            name = fields.text_or(variant, "name", "")
            found = _Variant(model=model, at=at, name=name, folder=site_folder)
            if ("file" in variant) == ("build" in variant):
                yield found.problem(
                    ef.VARIANT_ORIGIN,
                    ("name",),
                    f"Variant {name!r} has {'both `file` and' if 'file' in variant else 'neither `file` nor'}"
                    " `build`.",
                    "Name the file that exists, or say how it is built.",
                )
            elif "build" in variant:
                build = decode_build.build(fields.block(variant, "build"))
                yield from found.problems(build, fields.text_or(variant, "engine", ""))
                yield from found.pipeline(build, catalog)


class _Variant:
    """One variant that is built, and where it stands."""

    def __init__(self, *, model: Object, at: Place, name: str, folder: Path) -> None:
        self._model, self._at, self._name, self._folder = model, at, name, folder

    def problem(self, code: Code, path: Place, detail: str, hint: str = "") -> Diagnostic:
        source = self._model.place((*self._at, *path))
        return code.at(
            source, detail, address=f"{self._model.address}.variants.{self._name}", hint=hint
        )

    def problems(self, build: Build, engine: str) -> Iterator[Diagnostic]:
        have = source_format(build.source)
        for number, step in enumerate(build.recipe):
            kind = KINDS[step.name]
            if kind.takes != have:
                yield self.problem(
                    ef.RECIPE,
                    ("build", "recipe", number),
                    f"Step {step.name!r} takes {kind.takes}, and"
                    f" {'what comes before gives' if number else 'the source is'} {have}.",
                    "Change the order of the steps."
                    if number
                    else "Take a step that begins with it.",
                )
                return
            have = kind.gives
        readable = READ_BY.get(engine, ())
        if format_of(build.recipe) not in readable:
            yield self.problem(
                ef.RECIPE,
                ("engine",),
                f"The recipe gives {format_of(build.recipe)}, and {engine} reads"
                f" {' and '.join(readable) or 'no format that is built here'}.",
                "Take another engine, or a recipe that ends in what it reads.",
            )
        yield from self._data(build)

    def _data(self, build: Build) -> Iterator[Diagnostic]:
        calibrates = needs(build.recipe, CALIBRATION)
        if calibrates and build.calibration is None:
            yield self.problem(
                ef.RECIPE,
                ("build", "recipe"),
                "A step of the recipe needs a calibration data set, and `calibration` names none.",
                "calibration: data/my-calibration     # see docs/reference/recipes.md",
            )
        for key, folder in (("calibration", build.calibration), ("evaluation", build.evaluation)):
            if folder in (None, SYNTHETIC):
                continue
            if not (self._folder / str(folder) / "dataset.json").is_file():
                yield self.problem(
                    ef.NO_SUCH_PATH,
                    ("build", key),
                    f"There is no {folder}/dataset.json in the site's folder.",
                    "Data sets need not be in Git, but they must be there to build:"
                    " see docs/reference/recipes.md.",
                )

    def pipeline(self, build: Build, catalog: Catalog) -> Iterator[Diagnostic]:
        """A named pipeline that is not there, or infers with another model."""
        if build.pipeline is None or catalog.is_partial:
            return
        found = catalog.get("Pipeline", build.pipeline)
        where = ("build", "pipeline")
        if found is None:
            source = self._model.place((*self._at, *where))
            yield catalog.missing("Pipeline", build.pipeline, source, self._model.address)
        elif found.is_sound:
            used = fields.text_or(fields.block(found.spec, "infer"), "model", "")
            if used != self._model.name:
                yield self.problem(
                    ef.RECIPE,
                    where,
                    f"Pipeline {build.pipeline!r} infers with {used!r}, not with this model.",
                )
