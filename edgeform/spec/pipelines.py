"""The pipelines of a device: which one, with which variables, checks and limits.

A pipeline whose text holds no reference is decoded once for all devices; otherwise once for each
combination of the values that its references see.
"""

import re
from dataclasses import dataclass, field, replace

from edgeform.domain.hardware import HardwareClass
from edgeform.domain.pipeline import OPEN, Pipeline
from edgeform.domain.quantities import parse_bytes
from edgeform.domain.site import SecretRef
from edgeform.spec import check_stages, fields, shape
from edgeform.spec import codes_site as ef
from edgeform.spec.codes import Code
from edgeform.spec.decode_pipeline import PipelineDecoder
from edgeform.spec.expand import BadReference, Scope, expanded
from edgeform.spec.merge import merged
from edgeform.spec.nodes import Block, Items, Path, Scalar, Value, dotted, place_of
from edgeform.spec.objects import Catalog, Object
from edgeform.spec.provenance import Provenance
from edgeform.spec.report import Report
from edgeform.spec.schema import validator

_OVERRIDES = ("checks", "limits", "serving")
_REFERENCE = re.compile(r"(?<!\$)\$\{\s*([^}]*?)\s*\}")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "size": (int, str),
}


@dataclass(slots=True, kw_only=True, eq=False)
class _Template:
    """A Pipeline object, its check suite merged in; `references` is what its texts ask for.

    `dynamic_keys` are the keys of its spec whose texts ask, each with what they ask for; `parts` holds
    what became of each for the values that were seen.
    """

    source: Object
    spec: Block
    references: tuple[str, ...]
    dynamic_keys: dict[str, tuple[str, ...]]
    variables: dict[str, fields.Mapping]
    decoder: PipelineDecoder = field(default_factory=PipelineDecoder)
    parts: dict[tuple[str, ...], Value] = field(default_factory=dict)
    made: dict[tuple[object, ...], Pipeline | None] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Pipelines:
    """Makes the pipelines of devices out of the site's Pipeline objects."""

    catalog: Catalog
    provenance: Provenance
    report: Report
    egress: str = OPEN
    _templates: dict[str, _Template | None] = field(default_factory=dict)

    def of_device(
        self,
        device: str,
        value: Block,
        site_values: dict[str, Scalar],
        hardware: HardwareClass,
        secrets: dict[str, SecretRef],
    ) -> tuple[Pipeline, ...]:
        """The pipelines of a merged and expanded device; those with problems are left out."""
        found = []
        about = _about(device, value, hardware)
        for entry in fields.blocks(value, "pipelines"):
            if entry.get("enabled") is False:
                continue
            name = fields.text_or(entry, "name", "")
            made = self._one(
                device=device,
                name=name,
                entry=entry,
                value=value,
                site_values=site_values,
                about=about,
            )
            if made is None:
                continue
            for secret in made.secrets:
                if secret not in secrets:
                    detail = (
                        f"Pipeline {name!r} reads secret {secret!r}, and the device gives none."
                    )
                    hint = f"secrets: {{{secret}: {{secret: env/NAME}}}}"
                    self._problem(ef.SECRET_MISSING, device, ("pipelines", name), detail, hint)
            found.append(made)
        return tuple(found)

    def _problem(self, code: Code, device: str, path: Path, detail: str, hint: str = "") -> None:
        source = self.provenance.place(device, path)
        address = f"devices.{device}.{dotted(path)}"
        self.report.add(code.at(source, detail, address=address, hint=hint))

    def _one(
        self,
        *,
        device: str,
        name: str,
        entry: fields.Mapping,
        value: Block,
        site_values: dict[str, Scalar],
        about: dict[str, Scalar],
    ) -> Pipeline | None:
        wanted = fields.text_or(entry, "pipeline", name)
        if self.catalog.get("Pipeline", wanted) is None:
            if not self.catalog.is_partial:
                where: Path = ("pipelines", name, "pipeline" if "pipeline" in entry else "name")
                source = self.provenance.place(device, where)
                address = f"devices.{device}.{dotted(where)}"
                self.report.add(self.catalog.missing("Pipeline", wanted, source, address))
            return None
        template = self.template(wanted)
        if template is None:
            return None
        variables = self._variables(device, name, template, entry, value)
        if variables is None:
            return None
        scope = Scope(site=site_values, device=about, vars=variables)
        key: tuple[object, ...] = (name,)
        seen: dict[str, str] | None = {}
        if template.references:
            try:
                seen = {asked: repr(scope.value(asked)) for asked in template.references}
                key += tuple(seen.values())
            except BadReference:
                key += (device,)
                seen = None
        overrides = Block((k, entry[k]) for k in _OVERRIDES if k in entry)
        if overrides:
            key += (repr(overrides),)
        if key not in template.made:
            template.made[key] = self._made(name, template, overrides, scope, device, seen)
        return template.made[key]

    def template(self, name: str) -> _Template | None:
        """The Pipeline of a name with its check suite; None if it cannot be used."""
        if name not in self._templates:
            self._templates[name] = self._read(name)
        return self._templates[name]

    def _read(self, name: str) -> _Template | None:
        source = self.catalog.get("Pipeline", name)
        if source is None or not source.is_sound:
            return None
        spec = source.spec
        suite_name = fields.text(spec, "check_suite")
        layers: list[Value] = [spec]
        if suite_name is not None:
            suite = self.catalog.get("CheckSuite", suite_name)
            if suite is None:
                return None  # `check` reports it once
            checks = Block((k, v) for k, v in suite.spec.items() if k != "description")
            layers = [Block([("checks", checks)]), spec]
        whole = merged(layers)
        variables = fields.block(spec, "vars")
        body = Block((k, v) for k, v in whole.items() if k not in ("vars", "description"))
        dynamic = {
            k: tuple(sorted(_references(v)))
            for k, v in body.items()
            if isinstance(v, (Block, Items)) and v.is_dynamic
        }
        body.is_dynamic = bool(dynamic)
        return _Template(
            source=source,
            spec=body,
            dynamic_keys=dynamic,
            references=tuple(sorted(_references(body))) if body.is_dynamic else (),
            variables={k: v for k, v in variables.items() if isinstance(v, dict)},
        )

    def _variables(
        self,
        device: str,
        name: str,
        template: _Template,
        entry: fields.Mapping,
        value: Block,
    ) -> dict[str, Scalar] | None:
        """The variables of one pipeline on one device; None if one is missing or wrong."""
        given = fields.block(entry, "vars")
        inherited = fields.block(value, "vars")
        is_right = True
        for key in given:
            if key not in template.variables:
                detail = f"Pipeline {template.source.name!r} declares no variable {key!r}."
                hint = shape.nearest(key, template.variables)
                path: Path = ("pipelines", name, "vars", key)
                self._problem(ef.VARIABLE_UNKNOWN, device, path, detail, hint)
                is_right = False
        result: dict[str, Scalar] = {}
        for key, declared in template.variables.items():
            found = given.get(key, inherited.get(key, declared.get("default")))
            if isinstance(found, (dict, list)) or found is None:
                detail = f"Pipeline {template.source.name!r} needs {key!r}"
                what = fields.text(declared, "description")
                detail += f": {what}" if what else "."
                path = ("pipelines", name, "name")
                hint = f"Add to the device's pipeline\n    vars: {{{key}: ...}}"
                self._problem(ef.VARIABLE_MISSING, device, path, detail, hint)
                is_right = False
                continue
            wrong = variable_problem(declared, found)
            if wrong:
                path = ("pipelines", name, "vars", key)
                self._problem(ef.VARIABLE_WRONG, device, path, f"{key}: {wrong}")
                is_right = False
            result[key] = found
        return result if is_right else None

    def _made(
        self,
        name: str,
        template: _Template,
        overrides: Block,
        scope: Scope,
        device: str,
        seen: dict[str, str] | None,
    ) -> Pipeline | None:
        """The pipeline for the values in a scope; `seen` has the text of each, if all have one."""
        root, errors = template.source.root, self.report.errors
        address = f"{template.source.address}, for device {device}"

        def refuse(path: Path, exc: BadReference) -> None:
            source = place_of(root, ("spec", *path))
            self.report.add(ef.BAD_REFERENCE.at(source, exc.detail, address=address, hint=exc.hint))

        spec = template.spec
        if spec.is_dynamic:
            whole = Block(spec)
            for key, asked in template.dynamic_keys.items():
                values = None if seen is None else (key, *map(seen.__getitem__, asked))
                if values in template.parts:
                    whole[key] = template.parts[values]
                    continue
                replaced = expanded(spec[key], scope, refuse, (key,))
                whole[key] = replaced
                checked = validator(f"Pipeline/properties/{key}")
                for problem in shape.problems(checked, replaced, address=address):
                    self.report.add(
                        ef.UNFIT_AFTER_MERGE.at(
                            place_of(root, ("spec", key, *problem.path)),
                            problem.diagnostic.detail,
                            address=address,
                        )
                    )
                if values is not None and self.report.errors == errors:
                    template.parts[values] = replaced
            spec = whole
        if overrides:
            spec = merged([spec, overrides])
        if self.report.errors > errors:
            return None
        made = replace(template.decoder.pipeline(name, spec), egress=self.egress)
        for code, path, detail, hint in check_stages.problems(made):
            source = place_of(root, ("spec", *path))
            self.report.add(code.at(source, detail, address=address, hint=hint))
        return made if self.report.errors == errors else None


def variable_problem(declared: fields.Mapping, value: Scalar) -> str:
    """What is wrong with a variable's value; nothing if it is right."""
    kind = fields.text_or(declared, "type", "string")
    is_flag = isinstance(value, bool)
    if not isinstance(value, _TYPES[kind]) or (is_flag and kind != "boolean"):
        return f"expected {_ARTICLES[kind]}, found {shape.shown(value)}."
    if kind == "size" and isinstance(value, str):
        try:
            parse_bytes(value)
        except ValueError as exc:
            return f"{exc}."
    minimum, maximum = fields.number(declared, "minimum"), fields.number(declared, "maximum")
    if isinstance(value, (int, float)) and not is_flag:
        if minimum is not None and value < minimum:
            return f"{shape.shown(value)} is less than {minimum:g}."
        if maximum is not None and value > maximum:
            return f"{shape.shown(value)} is more than {maximum:g}."
    choices = fields.items(declared, "enum")
    if choices and value not in choices:
        listed = ", ".join(shape.shown(choice) for choice in choices)
        return f"expected one of {listed}; found {shape.shown(value)}."
    return ""


_ARTICLES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "size": "a size",
}


def _about(device: str, value: Block, hardware: HardwareClass) -> dict[str, Scalar]:
    about: dict[str, Scalar] = {
        key: item for key, item in fields.block(value, "labels").items() if isinstance(item, str)
    }
    about |= {"name": device, "class": hardware.name}
    host = fields.block(value, "connect").get("host")
    if isinstance(host, str):
        about["host"] = host
    return about


def _references(value: Value) -> set[str]:
    if isinstance(value, str):
        return set(_REFERENCE.findall(value)) if "${" in value else set()
    children = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return {reference for item in children for reference in _references(item)}
