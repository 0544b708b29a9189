"""Answers to `edgeform explain`: what a code means, and where a device's value comes from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgeform.diagnostics import Source
from edgeform.errors import UsageError
from edgeform.spec import codes_file, codes_site
from edgeform.spec.codes import Code
from edgeform.spec.expand import BadReference, Scope, expanded_text
from edgeform.spec.load import Loaded
from edgeform.spec.merge import Origin, merged
from edgeform.spec.nodes import Block, Path, Value, child, dotted
from edgeform.spec.schema import definition
from edgeform.spec.shape import nearest, shown

_STEP = re.compile(r"([A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*)|\[([^\]]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A value of a device, where it was written, and what it hides, nearest first.

    `value` has its `${...}` replaced; `written` is as it stands in the file.
    """

    device: str
    path: str
    value: str
    written: str
    layer: str
    source: Source | None
    hidden: tuple["Explained", ...] = ()


def code(name: str, more: tuple[Code, ...] = ()) -> Code:
    """What a code means.

    Args:
        more: codes of other parts (the lock's, the plan's).

    Raises:
        UsageError: no diagnostic has this code.
    """
    known = {c.code: c for c in (*codes_file.ALL, *codes_site.ALL, *more)}
    found = known.get(name.upper())
    if found is None:
        raise UsageError(
            f"No diagnostic has the code {name!r}.",
            hint=nearest(name.upper(), known) or "Codes look like EF1001.",
        )
    return found


def code_text(found: Code) -> str:
    """A code's explanation as plain text."""
    lines = [f"{found.severity}[{found.code}]: {found.summary}", "", found.text]
    lines += ["", f"Usual cause: {found.cause}"]
    if found.example:
        lines += ["", "Example:", *(f"    {line}" for line in found.example.splitlines())]
    return "\n".join(lines)


def parse_path(text: str) -> Path:
    """`connect.port`, `pipelines[gate].vars.camera`, `pipelines.gate.vars` as steps.

    Raises:
        UsageError: an empty step, or a bracket that does not close.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        if text[position] == "." and steps:
            position += 1
        found = _STEP.match(text, position)
        if found is None:
            hint = "Write for example connect.host, or pipelines[gate].vars.camera."
            raise UsageError(f"{text!r} is no path.", address="--path", hint=hint)
        name, inside = found.groups()
        steps.append(name or (int(inside) if inside.isdigit() else inside))
        position = found.end()
    return tuple(steps)


def value_of(loaded: Loaded, device: str, path: str) -> tuple[Explained, ...]:
    """The value at a path of a device; for a part with several values, one answer for each of them.

    Raises:
        UsageError: no such device, or nothing at the path.
    """
    known = loaded.provenance.origins
    if device not in known:
        raise UsageError(
            f"The site has no device {device!r}.",
            hint=nearest(device, known) or "edgeform validate",
        )
    asked = parse_path(path)
    whole = _merged(loaded, device)
    start = _by_name(whole, asked)
    leaves = tuple(_leaves(_at(whole, start), start)) or (start,)
    found = tuple(e for leaf in leaves for e in _explained(loaded, device, leaf))
    if not found:
        default = _default(asked)
        hint = f"It has edgeform's default: {default}." if default else _children(whole, asked)
        raise UsageError(f"Nothing says anything about {path!r} of {device!r}.", hint=hint)
    return found


def _merged(loaded: Loaded, device: str) -> Block:
    provenance = loaded.provenance
    values: list[Value] = [provenance.classes.value(provenance.origins[device].class_name)]
    values += [layer.value for layer in provenance.layers(device)]
    return merged(values)


def _by_name(whole: Block, path: Path) -> Path:
    """The path with numbers in named lists turned into names."""
    value: Value = whole
    steps: list[str | int] = []
    for step in path:
        if isinstance(value, list):
            number = step if isinstance(step, int) else _number_of(value, step)
            value = child(value, number)
            name = child(value, "name")
            steps.append(name if isinstance(name, str) else number)
        else:
            value = child(value, step)
            steps.append(step)
    return tuple(steps)


def _number_of(items: list[Value], name: str) -> int:
    return next((n for n, item in enumerate(items) if child(item, "name") == name), -1)


def _at(whole: Block, path: Path) -> Value:
    value: Value = whole
    for step in path:
        if isinstance(value, list) and isinstance(step, str):
            value = child(value, _number_of(value, step))
        else:
            value = child(value, step)
    return value


def _leaves(value: Value, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for item in value:
            name = child(item, "name")
            if isinstance(name, str):
                yield from _leaves(item, (*path, name))
            else:
                yield path
                return
    elif path:
        yield path


def _explained(loaded: Loaded, device: str, path: Path) -> Iterator[Explained]:
    origins = loaded.provenance.of(device, path)
    if not origins:
        return
    answers = [_answer(loaded, device, path, origin) for origin in origins]
    first, *rest = answers
    yield Explained(
        device=device,
        path=first.path,
        value=first.value,
        written=first.written,
        layer=first.layer,
        source=first.source,
        hidden=tuple(rest),
    )


def _answer(loaded: Loaded, device: str, path: Path, origin: Origin) -> Explained:
    written = _written(origin.value)
    return Explained(
        device=device,
        path=dotted(path),
        value=_replaced(loaded, device, origin.value) or written,
        written=written,
        layer=origin.layer,
        source=origin.source,
    )


def _written(value: Value) -> str:
    if value is None:
        return "null (removed)"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_written(v)}" for k, v in value.items()) + "}"
    return shown(value)


def _replaced(loaded: Loaded, device: str, value: Value) -> str:
    if not isinstance(value, str) or "${" not in value or loaded.site is None:
        return ""
    found = loaded.site.device(device)
    origin = loaded.provenance.origins[device]
    if found is None:
        return ""
    about: dict[str, str | int | float | bool | None] = dict(found.labels)
    about |= {"name": found.name, "class": found.hardware.name, "host": found.connect.host}
    try:
        scope = Scope(device=about, n=origin.n, site={"name": loaded.site.name})
        return str(expanded_text(value, scope))
    except BadReference:
        return ""  # it needs variables; what stands in the file is shown


def _default(path: Path) -> str:
    """The schema's default at a path of a device."""
    rule = definition("device_patch")
    for step in path:
        rule = rule.get("properties", {}).get(step, {})
        if "$ref" in rule:
            rule = definition(rule["$ref"].rsplit("/", 1)[1])
    return shown(rule["default"]) if "default" in rule else ""


def _children(whole: Block, path: Path) -> str:
    parent = _at(whole, path[:-1])
    if isinstance(parent, dict) and parent:
        wanted = str(path[-1]) if path else ""
        return nearest(wanted, parent) or f"There are: {', '.join(parent)}."
    return ""


def rendered(found: Explained) -> str:
    """An answer as plain text: the value, its place, and what it hides."""
    lines = [f"{found.path} = {found.value}"]
    if found.written != found.value:
        lines.append(f"  written as {found.written}")
    lines.append(f"  from {found.layer}{_place(found.source)}")
    lines += [f"  hides {h.written} from {h.layer}{_place(h.source)}" for h in found.hidden]
    return "\n".join(lines)


def _place(source: Source | None) -> str:
    return f", {source.position}" if source is not None else ""
