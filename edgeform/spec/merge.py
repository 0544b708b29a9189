"""Layers into one value, and where each part of it came from.

JSON Merge Patch (RFC 7396) with one addition: lists of objects that have a `name` merge by it, in the
order of first appearance. Other lists replace. Merging never changes a layer, and shares every part
that only one layer has. Folded from the lowest layer up; only without nulls is it associative.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeform.diagnostics import Source
from edgeform.spec.nodes import Block, Items, Path, Value, child, place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: what people call it, and the part of a document it is."""

    name: str
    root: Value
    below: Path = ()

    @property
    def value(self) -> Value:
        value = self.root
        for step in self.below:
            value = child(value, step)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A value at a path as one layer gives it; a null there removes what is below."""

    layer: str
    value: Value
    source: Source | None


def merged(values: Sequence[Value]) -> Block:
    """The values on top of each other, lowest first."""
    result = Block()
    for value in values:
        if isinstance(value, dict):
            result = _patched(result, value)
    return result


def merge(lower: Value, upper: Value) -> Value:
    """`lower` patched by `upper`."""
    if isinstance(upper, dict):
        if isinstance(lower, dict):
            return _patched(lower, upper)
        return _patched(Block(), upper) if _has_null(upper) else upper
    if isinstance(upper, list):
        if isinstance(lower, list) and is_named(lower) and is_named(upper):
            return _by_name(lower, upper)
        return _without_nulls(upper) if _has_null(upper) else upper
    return upper


def is_named(items: Sequence[Value]) -> bool:
    """Whether every item is an object with a name; a list or an object names nothing."""
    return all(
        isinstance(item, dict) and "name" in item and not isinstance(item["name"], dict | list)
        for item in items
    )


def _patched(lower: dict[str, Value], upper: dict[str, Value]) -> Block:
    result = Block(lower)
    for key, value in upper.items():
        if value is None:
            result.pop(key, None)
        elif key in result:
            result[key] = merge(result[key], value)
        else:
            result[key] = merge(None, value)
    result.is_dynamic = any(_is_dynamic(value) for value in result.values())
    return result


def _by_name(lower: list[Value], upper: list[Value]) -> Items:
    found: dict[Value, Value] = {}
    for item in lower:
        found[child(item, "name")] = item
    for item in upper:
        name = child(item, "name")
        found[name] = merge(found.get(name), item)
    result = Items(found.values())
    result.is_dynamic = any(_is_dynamic(value) for value in result)
    return result


def _without_nulls(items: list[Value]) -> Items:
    result = Items(merge(None, item) if isinstance(item, (dict, list)) else item for item in items)
    result.is_dynamic = any(_is_dynamic(value) for value in result)
    return result


def _has_null(value: Block | Items | dict[str, Value] | list[Value]) -> bool:
    return value.has_null if isinstance(value, (Block, Items)) else True


def _is_dynamic(value: Value) -> bool:
    if type(value) is str:
        return "${" in value
    return value.is_dynamic if isinstance(value, (Block, Items)) else False


def origins(layers: Sequence[Layer], path: Path) -> tuple[Origin, ...]:
    """What each layer says at a path, highest first; list items are found by their name.

    A step may be a text for a named list. The first origin is the one that counts; one whose value is
    null removed the rest.
    """
    found = []
    for layer in reversed(layers):
        origin = _origin(layer, path)
        if origin is not None:
            found.append(origin)
    return tuple(found)


def _origin(layer: Layer, path: Path) -> Origin | None:
    value = layer.value
    real: list[str | int] = list(layer.below)
    for step in path:
        if isinstance(value, list) and isinstance(step, str):
            numbers = [n for n, item in enumerate(value) if child(item, "name") == step]
            if not numbers:
                return None
            step = numbers[0]
        elif not isinstance(value, (dict, list)):
            return _placed(layer, value, real) if value is None else None
        if isinstance(value, dict) and step not in value:
            return None
        if isinstance(value, list) and not (isinstance(step, int) and 0 <= step < len(value)):
            return None
        real.append(step)
        value = child(value, step)
    return _placed(layer, value, real)


def _placed(layer: Layer, value: Value, real: Sequence[str | int]) -> Origin:
    return Origin(layer=layer.name, value=value, source=place_of(layer.root, tuple(real)))
