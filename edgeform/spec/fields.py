"""Typed reading of a value that the schema has already proven.

The one place where untyped YAML turns into `str`, `int` and `float`. A wrong type here is our bug (the
schema and the decoder disagree), so it raises `TypeError` and never becomes a diagnostic.
"""

from collections.abc import Iterator

from edgeform.domain.quantities import parse_bytes
from edgeform.domain.site import SecretRef
from edgeform.spec.nodes import Block, Value

Mapping = dict[str, Value]
_NOTHING = Block()


def block(value: Mapping, key: str) -> Mapping:
    """The object under a key; an empty one where there is none."""
    found = value.get(key)
    if found is None:
        return _NOTHING
    if isinstance(found, dict):
        return found
    raise _wrong(key, "object", found)


def blocks(value: Mapping, key: str) -> Iterator[Mapping]:
    """The objects of a list; none where there is no list."""
    for item in items(value, key):
        if not isinstance(item, dict):
            raise _wrong(key, "object", item)
        yield item


def items(value: Mapping, key: str) -> list[Value]:
    found = value.get(key)
    if found is None:
        return []
    if isinstance(found, list):
        return found
    raise _wrong(key, "list", found)


def texts(value: Mapping, key: str) -> tuple[str, ...]:
    found = items(value, key)
    return tuple(item if isinstance(item, str) else str(item) for item in found)


def text(value: Mapping, key: str) -> str | None:
    found = value.get(key)
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, (int, float)):  # a reference put a number where a text stands
        return str(found)
    raise _wrong(key, "text", found)


def text_or(value: Mapping, key: str, default: str) -> str:
    found = text(value, key)
    return default if found is None else found


def number(value: Mapping, key: str) -> float | None:
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return float(found)
    raise _wrong(key, "number", found)


def number_or(value: Mapping, key: str, default: float) -> float:
    found = number(value, key)
    return default if found is None else found


def numbers(value: Mapping, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    found = items(value, key)
    if not found:
        return default
    result = []
    for item in found:
        if not isinstance(item, (int, float)):
            raise _wrong(key, "number", item)
        result.append(float(item))
    return tuple(result)


def integer(value: Mapping, key: str) -> int | None:
    found = number(value, key)
    return None if found is None else int(found)


def integer_or(value: Mapping, key: str, default: int) -> int:
    found = value.get(key)
    if found is None:
        return default
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return int(found)
    raise _wrong(key, "whole number", found)


def boolean_or(value: Mapping, key: str, *, default: bool) -> bool:
    found = value.get(key)
    if found is None:
        return default
    if isinstance(found, bool):
        return found
    raise _wrong(key, "boolean", found)


def size(value: Mapping, key: str) -> int | None:
    """Bytes; `67108864` and `"64MiB"` are the same."""
    found = value.get(key)
    if isinstance(found, str):
        return parse_bytes(found)
    return integer(value, key)


def size_or(value: Mapping, key: str, default: int) -> int:
    found = size(value, key)
    return default if found is None else found


def secret(value: Mapping, key: str) -> SecretRef | None:
    """The reference under a key; the schema has proven its form."""
    written = text(block(value, key), "secret")
    if written is None:
        return None
    provider, _, rest = written.partition("/")
    path, sign, part = rest.partition("#")
    return SecretRef(provider=provider, path=path, key=part if sign else None)


def _wrong(key: str, expected: str, found: Value) -> TypeError:
    return TypeError(f"{key!r} should be a {expected} by now, and is {type(found).__name__}")
