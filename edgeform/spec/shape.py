"""What the schema finds, as sentences: one place turns a broken keyword into a diagnostic.

Nothing here depends on which validator found it. A key that is planned but not there yet is refused
by name (`x-planned` in the schema), and a mistyped one is answered with the nearest right one.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from edgeform.diagnostics import Diagnostic, Source
from edgeform.spec import codes_file as ef
from edgeform.spec.nodes import Block, Items, Path, Value, at, dotted, place_of
from edgeform.spec.schema import Finding, Schema, Validator, site_schema

_TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_FIRST = ("type", "enum", "const", "pattern")
"""Where several keywords are broken at one place, only the first of these is worth reading."""


MAX_LISTED = 12
MAX_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A diagnostic, and where in the checked value it belongs."""

    path: Path
    diagnostic: Diagnostic


def problems(
    validator: Validator, root: Value, *, address: str, below: Path = ()
) -> tuple[Problem, ...]:
    """Everything that the schema has against a value.

    Args:
        root: the document, for positions.
        below: where in the document the checked value stands.
    """
    checked = at(root, below)
    if validator.accepts(checked):
        return ()
    found: dict[tuple[Path, str], Finding] = {}
    for finding in validator.findings(checked):
        found.setdefault((finding.path, finding.keyword), finding)
    kept = _most_telling(found.values())
    return tuple(
        Problem(path=finding.path, diagnostic=_discreet(diagnostic, finding.path))
        for finding in kept
        for diagnostic in _diagnostics(finding, root, below, address)
    )


def _discreet(diagnostic: Diagnostic, path: Path) -> Diagnostic:
    """The diagnostic without what stands in the file, where a secret's value may stand by mistake."""
    line = diagnostic.source.line_text if diagnostic.source is not None else ""
    has_login = path[-1:] in _ADDRESSES and "@" in line
    if not has_login and not any(step in _SECRET for step in path):
        return diagnostic
    detail = _QUOTED_VALUE.sub("What stands here", diagnostic.detail)
    if diagnostic.code == ef.WRONG_TYPE.code:
        detail = "Expected a reference, found a value that is not shown."
    hint = "Write {secret: env/NAME}, and keep the value out of Git."
    source = diagnostic.source and replace(diagnostic.source, line_text="")
    return replace(diagnostic, detail=detail, hint=diagnostic.hint or hint, source=source)


_QUOTED_VALUE = re.compile(r"\A(?:'[^']*'|\"[^\"]*\"|\S+)(?= is not an? (?:reference|http))")
_SECRET = (
    "secrets",
    "sudo_password",
    "password",
    "token",
    "access_key_id",
    "secret_access_key",
    "session_token",
)
_ADDRESSES = (("url",), ("endpoint_url",), ("token_url",))


def nearest(word: str, among: Iterable[str]) -> str:
    """`Did you mean 'x'?` for the nearest of the words, or nothing."""
    close = difflib.get_close_matches(word, [str(name) for name in among], n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def _most_telling(findings: Iterable[Finding]) -> list[Finding]:
    best: dict[Path, str] = {}
    listed = list(findings)
    for finding in listed:
        if finding.keyword in _FIRST:
            now = best.get(finding.path)
            if now is None or _FIRST.index(finding.keyword) < _FIRST.index(now):
                best[finding.path] = finding.keyword
    return [f for f in listed if best.get(f.path, f.keyword) == f.keyword]


def _diagnostics(  # noqa: C901 - one case for each keyword of the schema
    finding: Finding, root: Value, below: Path, address: str
) -> Iterator[Diagnostic]:
    path = below + finding.path
    rule, value = finding.rule, at(root, path)
    where = f"{address}.{dotted(path)}" if path and address else address or dotted(path)
    here = place_of(root, path)
    match finding.keyword:
        case "additionalProperties" if isinstance(value, dict):
            for key in value:
                if not _is_known(key, rule):
                    yield _unknown(key, rule, place_of(root, (*path, key), key=True), where)
        case "required" if isinstance(value, dict):
            for key in rule["required"]:
                if key not in value:
                    what = _description(rule, key)
                    detail = f"{key!r} is missing{f': {what}' if what else '.'}"
                    yield ef.MISSING_KEY.at(_opening(root, path), detail, address=where)
        case "type":
            detail = f"Expected {_expected(rule)}, found {shown(value)}."
            yield ef.WRONG_TYPE.at(here, detail, address=where, hint=_type_hint(rule, value))
        case "enum" | "const":
            yield _not_allowed(rule, value, here, where)
        case "pattern":
            expected = rule.get("patternErrorMessage", f"a text that matches {rule['pattern']}")
            yield ef.MALFORMED.at(here, f"{shown(value)} is not {expected}.", address=where)
        case "minProperties" | "maxProperties" if isinstance(value, dict):
            choices = ", ".join(rule.get("properties", {}))
            found = " and ".join(value) or "nothing"
            detail = f"Expected exactly one of {choices}; found {found}."
            yield ef.NOT_EXACTLY_ONE.at(_opening(root, path), detail, address=where)
        case keyword:
            yield ef.OUT_OF_RANGE.at(here, _range(keyword, rule, value), address=where)


def _is_known(key: str, rule: Schema) -> bool:
    patterns = rule.get("patternProperties", {})
    return key in rule.get("properties", {}) or any(re.search(p, key) for p in patterns)


def _unknown(key: str, rule: Schema, source: Source | None, where: str) -> Diagnostic:
    if "patternProperties" in rule:
        detail = f"{key!r} is not {rule['patternErrorMessage']}."
        return ef.MALFORMED.at(source, detail, address=where)
    known = rule.get("properties", {})
    if key in rule.get("x-planned", ()):
        detail = f"{key!r} is planned, and this version of edgeform does not do it."
        return ef.NOT_YET.at(source, detail, address=where, hint="Leave it out for now.")
    hint = nearest(key, known)
    if not hint and 0 < len(known) <= MAX_LISTED:
        hint = f"Known here: {', '.join(known)}."
    return ef.UNKNOWN_KEY.at(
        source, f"{key!r} is not a key of this object.", address=where, hint=hint
    )


def _not_allowed(rule: Schema, value: Value, source: Source | None, where: str) -> Diagnostic:
    allowed = [rule["const"]] if "const" in rule else rule["enum"]
    if value in rule.get("x-planned", ()):
        detail = f"{value!r} is planned, and this version of edgeform does not do it."
        return ef.NOT_YET.at(source, detail, address=where)
    choices = ", ".join(str(choice) for choice in allowed if choice is not None)
    expected = choices if len(allowed) == 1 else f"one of {choices}"
    hint = nearest(value, (c for c in allowed if c is not None)) if isinstance(value, str) else ""
    detail = f"Expected {expected}; found {shown(value)}."
    return ef.NOT_ALLOWED.at(source, detail, address=where, hint=hint)


def _expected(rule: Schema) -> str:
    types = [rule["type"]] if isinstance(rule["type"], str) else list(rule["type"])
    if "string" in types and len(types) > 1 and "pattern" in rule:
        return str(rule["patternErrorMessage"])
    words = [_TYPE_WORDS[t] for t in types if t != "null" or len(types) == 1]
    return " or ".join(words)


def _type_hint(rule: Schema, value: Value) -> str:
    types = rule["type"]
    if types == "array" and not isinstance(value, (list, type(None))):
        return "A list item begins with a dash, or stands in brackets."
    wants_text = "string" in types and "integer" not in types and "number" not in types
    if wants_text and isinstance(value, (int, float)):
        return "Write it in quotes."
    return ""


def _range(keyword: str, rule: Schema, value: Value) -> str:
    limit = rule.get(keyword)
    match keyword:
        case "minimum":
            return f"{shown(value)} is less than {limit}."
        case "maximum":
            return f"{shown(value)} is more than {limit}."
        case "exclusiveMinimum":
            return f"{shown(value)} is not more than {limit}."
        case "minLength":
            return "The text is empty."
        case "maxLength":
            return f"The text has more than {limit} characters."
        case "minItems":
            return "The list is empty." if limit == 1 else f"The list has fewer than {limit} items."
        case "maxItems":
            return f"The list has more than {limit} items."
        case _:
            return f"{shown(value)} breaks {keyword!r} of the schema."


def shown(value: Value) -> str:
    """A value as a message names it: short, with its type where that matters."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_SHOWN else value[: MAX_SHOWN - 1] + "…")
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _description(rule: Schema, key: str) -> str:
    found: Schema = rule.get("properties", {}).get(key, {})
    while "description" not in found and "$ref" in found:
        found = site_schema()["$defs"][found["$ref"].rsplit("/", 1)[1]]
    return str(found.get("description", ""))


def _opening(root: Value, path: Path) -> Source | None:
    """Where an object begins: the key that holds it tells more than its first child."""
    return place_of(root, path, key=True) or place_of(root, path) or _first(root)


def _first(root: Value) -> Source | None:
    if isinstance(root, (Block, Items)) and root.source is not None:
        return root.source.source(*root.start_place, 1)
    return None
