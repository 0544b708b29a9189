"""Rules between objects: references, addresses, ports, variants, paths.

Everything is reported, nothing is raised.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from edgeform.diagnostics import Diagnostic
from edgeform.domain.artifacts import Model
from edgeform.domain.hardware import HardwareClass
from edgeform.domain.names import ModelName
from edgeform.domain.pipeline import Pipeline, Thermal, companion_models
from edgeform.domain.site import Device
from edgeform.spec import codes_site as ef
from edgeform.spec import fields
from edgeform.spec.objects import Catalog, Object
from edgeform.spec.provenance import Overlay, Provenance


def references(catalog: Catalog, site: Object) -> Iterator[Diagnostic]:
    """Names in the site, models and pipelines that nothing has."""
    if catalog.is_partial:
        return
    registries = tuple(
        fields.text_or(item, "name", "") for item in fields.blocks(site.spec, "registries")
    )
    for model in catalog.of("Model"):
        if not model.is_sound:
            continue
        wanted = fields.text_or(fields.block(model.spec, "source"), "registry", "")
        if wanted not in registries:
            source = model.place(("spec", "source", "registry"))
            yield catalog.missing("Registry", wanted, source, model.address, among=registries)
    for pipeline in catalog.of("Pipeline"):
        if pipeline.is_sound:
            yield from _pipeline_references(catalog, pipeline)
    rollout = fields.text(site.spec, "rollout")
    if rollout is not None and catalog.get("Rollout", rollout) is None:
        source = site.place(("spec", "rollout"))
        yield catalog.missing("Rollout", rollout, source, site.address)


def _pipeline_references(catalog: Catalog, pipeline: Object) -> Iterator[Diagnostic]:
    name = fields.text_or(fields.block(pipeline.spec, "infer"), "model", "")
    if catalog.get("Model", name) is None:
        source = pipeline.place(("spec", "infer", "model"))
        yield catalog.missing("Model", name, source, pipeline.address)
    thermal = fields.block(fields.block(pipeline.spec, "limits"), "thermal")
    for path, beside in (
        (("limits", "thermal", "smaller"), fields.block(thermal, "smaller")),
        (("shadow",), fields.block(pipeline.spec, "shadow")),
    ):
        other = fields.text(beside, "model")
        if other is not None and catalog.get("Model", other) is None:
            source = pipeline.place(("spec", *path, "model"))
            yield catalog.missing("Model", other, source, pipeline.address)
    suite = fields.text(pipeline.spec, "check_suite")
    if suite is not None and catalog.get("CheckSuite", suite) is None:
        source = pipeline.place(("spec", "check_suite"))
        yield catalog.missing("CheckSuite", suite, source, pipeline.address)


def duplicates_in_site(site: Object) -> Iterator[Diagnostic]:
    """Two registries or two overlays of one name."""
    for key, what in (("registries", "registry"), ("overlays", "overlay")):
        seen: set[str] = set()
        for number, item in enumerate(fields.blocks(site.spec, key)):
            name = fields.text_or(item, "name", "")
            if name in seen:
                source = site.place(("spec", key, number, "name"))
                detail = f"There already is {_an(what)} {name!r}."
                yield ef.DUPLICATE_NAME.at(source, detail, address=site.address)
            seen.add(name)


def _an(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def addresses(devices: Sequence[Device], provenance: Provenance) -> Iterator[Diagnostic]:
    """Devices that would be reached at the same place."""
    seen: dict[tuple[str, ...], str] = {}
    for device in devices:
        to = device.connect
        if to.mode == "offline":
            continue
        if to.mode == "local":
            where: tuple[str, ...] = ("local", device.prefix)
            detail_of = f"prefix {device.prefix} of this machine"
        else:
            where = (to.host.lower(), str(to.port), to.proxy_jump or "")
            detail_of = f"{to.host} port {to.port}"
        first = seen.setdefault(where, device.name)
        if first == device.name:
            continue
        path = ("prefix",) if to.mode == "local" else ("connect", "host")
        origin = provenance.origins.get(first)
        place = f" (at {origin.place})" if origin and origin.place else ""
        yield ef.SAME_ADDRESS.at(
            provenance.place(device.name, path),
            f"{device.name!r} and {first!r}{place} are both {detail_of}.",
            address=f"devices.{device.name}",
        )


def ports(devices: Sequence[Device], provenance: Provenance) -> Iterator[Diagnostic]:
    """Pipelines of one device that would serve on one port."""
    for device in devices:
        if len(device.pipelines) < 2:
            continue
        taken: dict[int, str] = {}
        for pipeline in device.pipelines:
            port = pipeline.serving.port
            if port == 0:
                continue
            first = taken.setdefault(port, pipeline.name)
            if first != pipeline.name:
                yield ef.SAME_PORT.at(
                    provenance.place(device.name, ("pipelines", pipeline.name, "name")),
                    f"{first!r} and {pipeline.name!r} both serve on port {port}.",
                    address=f"devices.{device.name}.pipelines.{pipeline.name}",
                    hint="Give one of them another serving.port in the device's pipelines.",
                )


def fits(model: Model, hardware: HardwareClass) -> bool:
    """Whether a variant of the model may run on devices of the class."""
    return any(
        variant.engine == hardware.runtime.engine
        and ("*" in variant.accelerators or hardware.accelerator in variant.accelerators)
        for variant in model.variants
    )


def providers(devices: Sequence[Device], provenance: Provenance) -> Iterator[Diagnostic]:
    """Classes with an accelerator that nothing says how to use: the CPU would step in."""
    said: set[str] = set()
    for device in devices:
        hardware = device.hardware
        if hardware.runtime.provider is not None or hardware.name in said:
            continue
        said.add(hardware.name)
        yield ef.NO_PROVIDER.at(
            provenance.place(device.name, ("class",)),
            f"Class {hardware.name!r} runs {hardware.runtime.engine} on"
            f" {hardware.accelerator!r} and names no provider.",
            address=f"classes.{hardware.name}.runtime.provider",
            hint="Set `runtime.provider` to what must compute.",
        )


def variants(
    devices: Sequence[Device], models: Sequence[Model], provenance: Provenance
) -> Iterator[Diagnostic]:
    """Devices whose class none of a model's variants fits."""
    by_name = {model.name: model for model in models}
    judged: dict[tuple[str, int], bool] = {}
    for device in devices:
        for pipeline, name in _models_used(device):
            model = by_name.get(name)
            if model is None:
                continue
            key = (model.name, id(device.hardware))
            if key not in judged:
                judged[key] = fits(model, device.hardware)
            if not judged[key]:
                engine = device.hardware.runtime.engine
                offered = ", ".join(
                    f"{v.name} ({v.engine} on {'/'.join(v.accelerators)})" for v in model.variants
                )
                yield ef.NO_VARIANT.at(
                    provenance.place(device.name, ("pipelines", pipeline.name, "name")),
                    f"Class {device.hardware.name!r} runs {engine} on"
                    f" {device.hardware.accelerator!r}; model {model.name!r} has {offered}.",
                    address=f"devices.{device.name}.pipelines.{pipeline.name}",
                )


def _models_used(device: Device) -> Iterator[tuple[Pipeline, ModelName]]:
    for pipeline in device.pipelines:
        yield pipeline, pipeline.infer.model
        for _, name in companion_models(pipeline):
            yield pipeline, name


def ladders(devices: Sequence[Device], provenance: Provenance) -> Iterator[Diagnostic]:
    """Thermal ladders that no temperature climbs in order."""
    for device in devices:
        for pipeline in device.pipelines:
            thermal = pipeline.limits.thermal
            said = "" if thermal is None else _ladder_problem(thermal)
            if said:
                yield ef.LADDER.at(
                    provenance.place(device.name, ("pipelines", pipeline.name, "limits")),
                    said,
                    address=f"devices.{device.name}.pipelines.{pipeline.name}.limits.thermal",
                )


def _ladder_problem(thermal: Thermal) -> str:
    rungs = [
        (name, rung.celsius)
        for name, rung in (
            ("slow", thermal.slow),
            ("smaller", thermal.smaller),
            ("pause", thermal.pause),
        )
        if rung is not None
    ]
    if not rungs:
        return "It has no rung: neither slow nor smaller nor pause."
    for (below, at), (name, begins) in pairwise(rungs):
        if begins <= at:
            return f"{name} begins at {begins:g} °C, and {below} at {at:g} °C."
    return ""


def paths(site: Object, site_folder: Path, devices: Sequence[Device]) -> Iterator[Diagnostic]:
    """Folders and files that the site names and that are not there."""
    for number, item in enumerate(fields.blocks(site.spec, "registries")):
        for key, what in (("path", "folder"), ("ca_file", "file")):
            written = fields.text(item, key)
            if written is None or written.startswith("~"):
                continue
            named_path = site_folder / written
            if not (named_path.is_dir() if what == "folder" else named_path.is_file()):
                source = site.place(("spec", "registries", number, key))
                detail = f"There is no {what} {written!r} in the site's folder."
                yield ef.NO_SUCH_PATH.at(source, detail, address=site.address)
    named = {
        file: device
        for device in reversed(devices)
        for file in (device.connect.known_hosts, device.connect.config_file)
        if file is not None and not file.startswith("~")
    }
    for file, device in sorted(named.items()):
        if not Path(file).exists():
            detail = f"{file} is not there; {device.name!r} names it."
            yield ef.NO_SUCH_PATH.at(None, detail, address=f"devices.{device.name}.connect")


def idle_overlays(
    site: Object, overlays: Sequence[Overlay], used: set[int]
) -> Iterator[Diagnostic]:
    """Overlays that no device gets."""
    for number, overlay in enumerate(overlays):
        if number not in used:
            source = site.place(("spec", "overlays", overlay.number, "select"))
            detail = f"Overlay {overlay.name!r} selects no device."
            yield ef.SELECTS_NOTHING.at(source, detail, address=site.address)
