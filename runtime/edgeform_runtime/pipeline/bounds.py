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


def above(value: float, limit: float, what: str) -> float:
    if not value > limit:
        raise WireError(f"{what}: {value} is not more than {limit}")
    return value


def between(value: float, minimum: float, maximum: float, what: str) -> float:
    if not minimum <= value <= maximum:
        raise WireError(f"{what}: {value} is not from {minimum:g} to {maximum:g}")
    return value


def at_most(value: int, maximum: int, what: str) -> int:
    if value > maximum:
        raise WireError(f"{what}: {value} is more than {maximum}")
    return value


def one_of(value: int, choices: Tuple[int, ...], what: str) -> int:
    if value not in choices:
        raise WireError(f"{what}: {value} is none of {', '.join(map(str, choices))}")
    return value
