"""The values of a plan as JSON, and back.

The JSON of a change is its dataclass: `change` names the type in snake_case, the other keys are its
fields. Reading takes what it knows and leaves the rest, so that a newer minor version can be read.
"""

import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache
from typing import Any

from edgeform.plan.changes import Change
from edgeform_wire.errors import WireError

Read = Callable[[Any, str], Any]


def change_of(value: Any, what: str) -> Change:
    """The change of its JSON.

    Raises:
        WireError: a field is missing or of another type, or the kind of change is not known here.
    """
    if not isinstance(value, dict):
        raise WireError(f"{what} is not an object")
    kind = _KINDS.get(str(value.get("change")))
    if kind is None:
        raise WireError(f"{what}: change {value.get('change')!r:.80} is not known to this version")
    found: Change = _object(kind)(value, what)
    return found


def name_of(kind: type) -> str:
    """`install_model` of InstallModel."""
    return _snake(kind.__name__)


def value_json(value: Any) -> Any:
    """A dataclass of texts, numbers, tuples and dataclasses as JSON."""
    # dataclasses.fields() makes a new tuple at every call; a large plan holds millions of fields.
    names = getattr(value, "__dataclass_fields__", None)
    if names is not None:
        found = {name: value_json(getattr(value, name)) for name in names}
        if isinstance(value, Change):
            found |= {"change": name_of(type(value)), "address": value.address}
        return found
    if isinstance(value, tuple):
        return [value_json(item) for item in value]
    if isinstance(value, StrEnum):
        return str(value)
    return value


@cache
def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def value_of(kind: type, value: Any, what: str) -> Any:
    """A dataclass of this type from its JSON; unknown keys are left out.

    Raises:
        WireError: a field is missing or of another type.
    """
    return _object(kind)(value, what)


_KINDS: Mapping[str, type] = {name_of(kind): kind for kind in typing.get_args(Change)}
_SCALARS = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


@cache
def _object(kind: type) -> Read:
    hints = typing.get_type_hints(kind)
    readers = [(f.name, _reader(hints[f.name]), f.default is not MISSING) for f in fields(kind)]

    def read(value: Any, what: str) -> Any:
        if not isinstance(value, dict):
            raise WireError(f"{what} is not an object")
        found = {}
        for name, reader, has_default in readers:
            if name not in value:
                if has_default:
                    continue  # a field that came with a later minor version
                raise WireError(f"{what}: field {name!r} is missing")
            found[name] = reader(value[name], f"{what}.{name}")
        return kind(**found)

    return read


def _reader(hint: Any) -> Read:
    if hint == Change:
        return change_of
    if isinstance(hint, types.UnionType):
        (inner,) = (a for a in typing.get_args(hint) if a is not types.NoneType)
        return _optional(_reader(inner))
    if typing.get_origin(hint) is tuple:
        of = typing.get_args(hint)
        return _many(_reader(of[0])) if of[-1] is Ellipsis else _exactly(tuple(map(_reader, of)))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enumerated(hint)
    if hint in _SCALARS:
        return _scalar(hint)
    return _object(hint)


def _scalar(kind: type) -> Read:
    def read(value: Any, what: str) -> Any:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise WireError(f"{what}: expected {_SCALARS[kind]}, got {value!r:.80}")
        return value

    return read


def _enumerated(kind: type[StrEnum]) -> Read:
    def read(value: Any, what: str) -> Any:
        try:
            return kind(value)
        except ValueError as exc:
            allowed = ", ".join(kind)
            raise WireError(f"{what}: expected one of {allowed}, got {value!r:.80}") from exc

    return read


def _optional(inner: Read) -> Read:
    return lambda value, what: None if value is None else inner(value, what)


def _many(inner: Read) -> Read:
    def read(value: Any, what: str) -> Any:
        if not isinstance(value, list):
            raise WireError(f"{what}: expected a list, got {value!r:.80}")
        return tuple(inner(item, f"{what}[{n}]") for n, item in enumerate(value))

    return read


def _exactly(inner: tuple[Read, ...]) -> Read:
    def read(value: Any, what: str) -> Any:
        if not isinstance(value, list) or len(value) != len(inner):
            raise WireError(f"{what}: expected {len(inner)} values, got {value!r:.80}")
        return tuple(
            r(v, f"{what}[{n}]") for n, (r, v) in enumerate(zip(inner, value, strict=True))
        )

    return read
