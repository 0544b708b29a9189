"""The JSON Schema of a site, and what it finds in a document.

`jsonschema` checks; `jsonschema-rs` does it where it is installed, eighty times as fast. Both only say
*where* which keyword of the schema is broken (`Finding`); the words are ours (`shape`), so both print
the same text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from edgeform.shipped import shipped
from edgeform.spec.nodes import Path, Value

Schema = Mapping[str, Any]
API_VERSION = "edgeform/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A keyword of the schema that a value breaks; `rule` is the sub-schema that holds it."""

    path: Path
    keyword: str
    rule: Schema


class Validator(Protocol):
    """Finds everything that is wrong with a value."""

    def accepts(self, value: Value) -> bool:
        """Whether nothing is wrong with it."""

    def findings(self, value: Value) -> Iterator[Finding]:
        """The findings, in no particular order; one for each keyword broken at each place."""


@cache
def site_schema() -> Schema:
    """The schema of every object of a site."""
    found: Schema = json.loads(shipped("schemas", "site.schema.json").read_text("utf-8"))
    return found


def definition(name: str) -> Schema:
    """One definition of the site schema."""
    found: Schema = site_schema()["$defs"][name]
    return found


@cache
def validator(definition_name: str | None = None, *, fast: bool | None = None) -> Validator:
    """The validator of a whole object, or of one definition of the schema.

    Args:
        fast: True demands jsonschema-rs, False jsonschema; None takes what is there.
    """
    schema = site_schema()
    if definition_name is not None:
        kept = {"$schema": schema["$schema"], "$defs": schema["$defs"]}
        schema = kept | {"$ref": f"#/$defs/{definition_name}"}
    return validator_of(schema, fast=fast)


def validator_of(schema: Schema, *, fast: bool | None = None) -> Validator:
    """The validator of another schema; `fast` as in `validator`."""
    if fast is not False:
        try:
            return _Fast(schema)
        except ModuleNotFoundError:
            if fast:
                raise
    return _Plain(schema)


class _Fast:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._validator = import_module("jsonschema_rs").validator_for(schema)

        self._is_valid: Callable[[Value], bool] = self._validator.is_valid

    def accepts(self, value: Value) -> bool:
        return self._is_valid(value)

    def findings(self, value: Value) -> Iterator[Finding]:
        for error in self._validator.iter_errors(value):
            *where, keyword = error.schema_path
            rule: Any = self._schema
            for step in where:
                rule = rule[step]
            yield Finding(
                path=tuple(error.instance_path),
                keyword=str(keyword),
                rule=rule,
            )


class _Plain:
    def __init__(self, schema: Schema) -> None:
        from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 - 57 ms to import

        extend: Callable[..., Any] = validators.extend
        strict = extend(Draft202012Validator, {"pattern": _pattern})
        self._validator = strict(schema)

    def accepts(self, value: Value) -> bool:
        return next(self._validator.iter_errors(value), None) is None

    def findings(self, value: Value) -> Iterator[Finding]:
        for error in self._validator.iter_errors(value):
            yield Finding(
                path=tuple(error.absolute_path),
                keyword=str(error.validator),
                rule=error.schema if isinstance(error.schema, dict) else {},
            )


def _pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[Exception]:
    """As the specification means it: `$` is the end of the text, not the place before a last newline."""
    from jsonschema import ValidationError  # noqa: PLC0415 - as above

    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(?<!\\)\$(?=\||\)|\Z)", r"\\Z", pattern))
