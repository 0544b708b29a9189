"""Refusing values outside of what an operator can do, with the field named."""

from typing import Any, Tuple

from edgeform_wire.errors import WireError


def number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WireError(f"{what}: expected a number, got {value!r:.40}")
    return float(value)


def at_least(value: float, minimum: float, what: str) -> float:
    if not value >= minimum:
        raise WireError(f"{what}: {value} is less than {minimum}")
    return value


def among(value: str, choices: Tuple[str, ...], what: str) -> str:
    if value not in choices:
        raise WireError(f"{what}: {value!r} is none of {', '.join(choices)}")
    return value
