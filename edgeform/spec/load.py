"""The one door: a folder of YAML files into a `Site`, with every problem of it at once.

Nothing is raised for what stands in the files. A site with errors gives no `Site`, only diagnostics.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edgeform.diagnostics import Diagnostic, has_errors
from edgeform.domain.bulk import without_gc
from edgeform.domain.hardware import HardwareClass
from edgeform.domain.names import SiteName
from edgeform.domain.pipeline import OPEN
from edgeform.domain.registries import RegistryRef
from edgeform.domain.site import Rollout, Site
from edgeform.errors import SpecInvalid
from edgeform.spec import (
    check,
    check_builds,
    check_registries,
    codes_file,
    codes_site,
    decode_device,
    decode_pipeline,
    decode_registry,
    fields,
    shape,
)
from edgeform.spec.classes import BUILTIN, Classes, builtin_content
from edgeform.spec.devices import Devices
from edgeform.spec.nodes import Block, Scalar, SourceFile, unpack
from edgeform.spec.objects import Catalog, Object, object_of
from edgeform.spec.pipelines import Pipelines
from edgeform.spec.provenance import Overlay, Provenance
from edgeform.spec.read import Reading, read_file
from edgeform.spec.report import Report
from edgeform.spec.schema import validator
from edgeform.spec.selector import BadSelector, Selector, parse

FOLDERS = ("classes", "models", "pipelines", "devices", "overlays", "rollouts", "checks")
"""Below these every *.yaml file belongs to the site, unless `include` says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a folder holds. `site` is None where there are errors; `provenance` answers `explain`."""

    site: Site | None
    diagnostics: tuple[Diagnostic, ...]
    provenance: Provenance
    files: tuple[str, ...] = ()

    def checked(self) -> Site:
        """The site.

        Raises:
            SpecInvalid: there are errors; it carries all diagnostics.
        """
        if self.site is None:
            raise SpecInvalid(self.diagnostics)
        return self.site


def load(path: Path | str) -> Loaded:
    """The site in a folder, or in the folder of its `site.yaml`.

    Args:
        path: as the user wrote it; diagnostics show files relative to it in the same way.
    """
    folder = Path(path)
    if folder.is_file():
        folder = folder.parent
    with without_gc():
        return _load(folder)


def _load(folder: Path) -> Loaded:
    report = Report()
    catalog = Catalog()
    if not folder.is_dir():
        source = SourceFile(str(folder)).source(1, 1)
        report.add(
            codes_file.UNREADABLE.at(replace(source, line_text=""), "There is no such folder.")
        )
        return _failed(catalog, report)
    readings = _read(folder, report)
    for reading in readings:
        catalog.is_partial = catalog.is_partial or not reading.is_whole
        _take_objects(reading, catalog, report)
    sites = tuple(catalog.of("Site"))
    _check_one_site(folder, sites, catalog, report)
    site = sites[0] if sites else None
    if site is None or not site.is_sound:
        for problem in catalog.problems:
            report.add(problem)
        return _failed(catalog, report, readings)
    return _composed(folder, site, catalog, report, readings)


def _failed(catalog: Catalog, report: Report, readings: tuple[Reading, ...] = ()) -> Loaded:
    return Loaded(
        site=None,
        diagnostics=report.diagnostics(),
        provenance=Provenance(catalog=catalog, classes=Classes(catalog), site=None),
        files=tuple(reading.source.shown for reading in readings),
    )


def _composed(
    folder: Path, site: Object, catalog: Catalog, report: Report, readings: tuple[Reading, ...]
) -> Loaded:
    classes = Classes(catalog)
    overlays = _overlays(site, report)
    provenance = Provenance(catalog=catalog, classes=classes, site=site, overlays=overlays)
    builder = Devices(
        catalog=catalog,
        classes=classes,
        pipelines=Pipelines(
            catalog=catalog, provenance=provenance, report=report, egress=_egress(site)
        ),
        provenance=provenance,
        report=report,
        site=site,
        site_folder=folder,
        site_values=_site_values(site),
        overlays=overlays,
    )
    devices = builder.all()
    models = tuple(decode_pipeline.model(m.name, m.spec) for m in catalog.of("Model") if m.is_sound)
    own_classes = _own_classes(catalog, classes)
    rollout = _rollout(site, catalog, report)
    problems: list[Iterable[Diagnostic]] = [
        catalog.problems,
        check.references(catalog, site),
        check.duplicates_in_site(site),
        check_registries.usable(site),
        check.addresses(devices, provenance),
        check.ports(devices, provenance),
        check.providers(devices, provenance),
        check.variants(devices, models, provenance),
        check_builds.builds(catalog, folder),
        check.ladders(devices, provenance),
        check.paths(site, folder, devices),
    ]
    if not report.errors:
        problems.append(check.idle_overlays(site, overlays, builder.used_overlays))
    for found in problems:
        for problem in found:
            report.add(problem)
    diagnostics = report.diagnostics()
    used = {d.hardware.name: d.hardware for d in devices if d.hardware.name.startswith(BUILTIN)}
    registries = fields.blocks(site.spec, "registries")
    result = Site(
        name=SiteName(site.name),
        digest=_digest(folder, readings, tuple(used)),
        devices=devices,
        classes=(*own_classes, *used.values()),
        models=models,
        registries=_registries(registries, folder),
        rollout=rollout,
        egress=_egress(site),
    )
    return Loaded(
        site=None if has_errors(diagnostics) else result,
        diagnostics=diagnostics,
        provenance=provenance,
        files=tuple(reading.source.shown for reading in readings),
    )


def _registries(items: Iterable[fields.Mapping], folder: Path) -> tuple[RegistryRef, ...]:
    return tuple(decode_registry.registry(item, folder) for item in items)


def _read(folder: Path, report: Report) -> tuple[Reading, ...]:
    """Every file of the site, read; `include` of the Site replaces the usual folders."""
    readings = {path: read_file(path, str(path)) for path in _in_folder(folder)}
    include = _include(readings.values())
    if include is None:
        more = [p for name in FOLDERS for p in _below(folder / name)]
    else:
        more = [p for pattern in include for p in _matching(folder, pattern)]
        readings = {p: r for p, r in readings.items() if p in more or _has_site(r)}
    for path in more:
        if path not in readings:
            readings[path] = read_file(path, str(path))
    for reading in readings.values():
        for problem in reading.diagnostics:
            report.add(problem)
    return tuple(readings[path] for path in sorted(readings))


def _in_folder(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if _is_yaml(p))


def _below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if _is_yaml(p)) if folder.is_dir() else []


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Files that a pattern names; never outside the site's folder."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        return []
    return sorted(p for p in folder.glob(pattern) if not p.is_dir())


def _is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and not path.name.startswith(".") and not path.is_dir()


def _roots(reading: Reading) -> Iterable[Block]:
    return (d.value for d in reading.documents if isinstance(d.value, Block))


def _has_site(reading: Reading) -> bool:
    return any(root.get("kind") == "Site" for root in _roots(reading))


def _include(readings: Iterable[Reading]) -> tuple[str, ...] | None:
    for reading in readings:
        for root in _roots(reading):
            spec = root.get("spec")
            if root.get("kind") == "Site" and isinstance(spec, dict):
                written = spec.get("include")
                if isinstance(written, list):
                    return tuple(p for p in written if isinstance(p, str))
    return None


def _take_objects(reading: Reading, catalog: Catalog, report: Report) -> None:
    checker = validator()
    for document in reading.documents:
        root = document.value
        if not isinstance(root, Block):
            if not reading.is_whole:
                continue  # the syntax error says enough
            source = reading.source.source(*unpack(document.place))
            detail = (
                "An object with api_version, kind, metadata and spec was expected,"
                f" found {shape.shown(root)}."
            )
            report.add(codes_file.WRONG_TYPE.at(source, detail))
            continue
        problems = shape.problems(checker, root, address=_address(root))
        shown = problems[:MAX_SHOWN]
        for problem in shown:
            report.add(problem.diagnostic)
        if len(problems) > len(shown):
            more = f"{len(problems) - len(shown):,} more in this object."
            report.add(codes_file.TOO_MANY.at(reading.source.source(*root.start_place), more))
        found = object_of(document, frozenset(problem.path for problem in problems))
        if found is not None:
            catalog.add(found)


MAX_SHOWN = 100


def _address(root: Block) -> str:
    metadata = root.get("metadata")
    kind, name = root.get("kind"), metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind} {name}" if isinstance(kind, str) and isinstance(name, str) else ""


def _check_one_site(
    folder: Path, sites: tuple[Object, ...], catalog: Catalog, report: Report
) -> None:
    if not sites and not catalog.is_partial:
        source = replace(SourceFile(str(folder)).source(1, 1), line_text="")
        hint = f"Begin one with\n    edgeform init {folder}"
        detail = "No file of this folder holds an object of kind Site."
        report.add(codes_site.NO_SITE.at(source, detail, hint=hint))
    for other in sites[1:]:
        first = sites[0].place()
        detail = f"There already is a Site{f' at {first.position}' if first else ''}."
        report.add(codes_site.TWO_SITES.at(other.place(), detail, address=other.address))


def _overlays(site: Object, report: Report) -> tuple[Overlay, ...]:
    found = []
    for number, item in enumerate(fields.blocks(site.spec, "overlays")):
        written = item.get("select")
        texts = [str(t) for t in written] if isinstance(written, list) else [str(written)]
        for text in texts:
            selector = _selector(text, site, number, report)
            patch = item.get("patch")
            if selector is not None and isinstance(patch, Block):
                name = fields.text_or(item, "name", "")
                found.append(Overlay(name=name, selector=selector, patch=patch, number=number))
    return tuple(found)


def _selector(text: str, site: Object, number: int, report: Report) -> Selector | None:
    try:
        return parse(text)
    except BadSelector as exc:
        source = site.place(("spec", "overlays", number, "select"))
        report.add(codes_site.BAD_SELECTOR.at(source, str(exc), address=site.address))
        return None


def _site_values(site: Object) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {
        key: value
        for key, value in fields.block(site.spec, "vars").items()
        if not isinstance(value, (dict, list)) and value is not None
    }
    return values | {"name": site.name}


def _egress(site: Object) -> str:
    return fields.text_or(site.spec, "egress", OPEN)


def _own_classes(catalog: Catalog, classes: Classes) -> tuple[HardwareClass, ...]:
    """The site's own classes, also those that no device uses yet; incomplete ones serve as bases."""
    found = []
    for item in catalog.of("HardwareClass"):
        if not item.is_sound or classes.lineage(item.name) is None:
            continue
        hardware = fields.block(classes.value(item.name), "hardware")
        if not decode_device.lacking(hardware):
            names = classes.names_of(item.name)
            found.append(decode_device.hardware(item.name, names, hardware))
    return tuple(found)


def _rollout(site: Object, catalog: Catalog, report: Report) -> Rollout:
    named = fields.text(site.spec, "rollout")
    known = tuple(catalog.of("Rollout"))
    if named is None and len(known) > 1:
        detail = f"The site has {', '.join(o.name for o in known)}; say which by `rollout`."
        report.add(codes_site.WHICH_ROLLOUT.at(site.place(), detail, address=site.address))
    chosen = catalog.get("Rollout", named) if named else known[0] if len(known) == 1 else None
    if chosen is None or not chosen.is_sound:
        return Rollout()
    return Rollout(
        name=chosen.name, max_parallel=fields.integer_or(chosen.spec, "max_parallel", 20)
    )


def _digest(folder: Path, readings: tuple[Reading, ...], builtins: tuple[str, ...]) -> str:
    """One digest over every file, its name relative to the site, and the builtin classes in use."""
    whole = hashlib.sha256()
    parts = [(Path(r.source.shown).relative_to(folder).as_posix(), r.content) for r in readings] + [
        (name, builtin_content(name)) for name in sorted(builtins)
    ]
    for name, content in sorted(parts):
        whole.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return f"sha256:{whole.hexdigest()}"
