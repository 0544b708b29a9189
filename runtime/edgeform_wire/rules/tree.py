"""What a rule is after reading: a tree of these nodes, each with its type."""

from dataclasses import dataclass
from typing import Optional, Union

NUMBER, TEXT, TRUTH = "a number", "a text", "true or false"


@dataclass(frozen=True)
class Constant:
    value: Union[float, str, bool]


@dataclass(frozen=True)
class Field:
    """A field of the result, or within an aggregate of the item that is looked at."""

    name: str
    of_item: bool


@dataclass(frozen=True)
class Not:
    inner: "Node"


@dataclass(frozen=True)
class Negative:
    inner: "Node"


@dataclass(frozen=True)
class Both:
    """`sign`: and, or, a comparison, or arithmetic."""

    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Aggregate:
    """Over the result's items that `where` holds for: count, any, all, or max, min, sum of `value`."""

    name: str
    value: Optional["Node"]
    where: Optional["Node"]


Node = Union[Constant, Field, Not, Negative, Both, Aggregate]


@dataclass(frozen=True)
class Rule:
    text: str
    root: Node
