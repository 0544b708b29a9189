"""YAML values that remember where they stand.

A `Block` is a mapping and `Items` a list; both are ordinary containers to everybody else (also to the
JSON Schema validators). The places of their children lie in one flat array per file, so that ten
thousand devices cost eight bytes a place and nothing is computed before somebody asks.
"""

import re
from array import array
from functools import cached_property

from edgeform.diagnostics import Position, Source

Scalar = str | int | float | bool | None
Value = Scalar | dict[str, "Value"] | list["Value"]
Path = tuple[str | int, ...]

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]")
"""A terminal must not be driven by what stands in a file."""

COLUMN_BITS = 24
"""A place is line and column in one number; files are at most 8 MiB, so 24 bits always suffice."""

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|\'[^\']*\'?|[\[{]|[^,\]}\n]+')


class SourceFile:
    """A file that was read: its name as people know it, its text, and the places of its values."""

    def __init__(self, shown: str, text: str = "") -> None:
        self.shown = shown
        self.text = text
        self.places = array("q")

    @cached_property
    def lines(self) -> list[str]:
        return _LINE_BREAK.split(self.text)

    def source(self, line: int, column: int, length: int | None = None) -> Source:
        """The place as a `Source`; without a length, that of the YAML token which starts there."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        text = _CONTROL.sub("\N{SYMBOL FOR SUBSTITUTE}", text)
        if length is None:
            token = _TOKEN.match(text, column - 1)
            length = len(token[0].split(" #", 1)[0].rstrip()) if token else 1
        position = Position(file=self.shown, line=line, column=column)
        return Source(position=position, line_text=text, length=max(1, length))


class Block(dict[str, Value]):
    """A mapping.

    `is_dynamic`: a text in it, however deep, has a `${...}` to expand; `has_null`: a null in it,
    however deep, removes something of a lower layer. (Class attributes are the defaults: merging makes
    millions of blocks that stand in no file.)
    """

    source: SourceFile | None = None
    at = 0
    start = 0
    is_dynamic = False
    has_null = False

    @property
    def start_place(self) -> tuple[int, int]:
        """Line and column where the container begins."""
        return unpack(self.start)

    def key_place(self, key: str) -> tuple[int, int] | None:
        """Line and column of a key, from 1; None for a block that stands in no file."""
        return self._place(key, 0)

    def value_place(self, key: str) -> tuple[int, int] | None:
        return self._place(key, 1)

    def _place(self, key: str, which: int) -> tuple[int, int] | None:
        if self.source is None or key not in self:
            return None
        number = next(n for n, name in enumerate(self) if name == key)
        return unpack(self.source.places[self.at + 2 * number + which])


class Items(list[Value]):
    """A list; the flags as in `Block`."""

    source: SourceFile | None = None
    at = 0
    start = 0
    is_dynamic = False
    has_null = False

    @property
    def start_place(self) -> tuple[int, int]:
        return unpack(self.start)

    def value_place(self, number: int) -> tuple[int, int] | None:
        if self.source is None or not 0 <= number < len(self):
            return None
        return unpack(self.source.places[self.at + number])


def pack(line: int, column: int) -> int:
    return line << COLUMN_BITS | column


def unpack(place: int) -> tuple[int, int]:
    """Line and column, both from 1."""
    return (place >> COLUMN_BITS) + 1, (place & (1 << COLUMN_BITS) - 1) + 1


def is_dynamic(value: Value) -> bool:
    """Whether anything in the value is to be expanded."""
    if isinstance(value, (Block, Items)):
        return value.is_dynamic
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(is_dynamic(child) for child in value.values())
    return isinstance(value, list) and any(is_dynamic(child) for child in value)


def child(value: Value, step: str | int) -> Value:
    """The value one step down; None where there is nothing."""
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return None


def at(value: Value, path: Path) -> Value:
    """The value at a path; None where there is nothing."""
    for step in path:
        value = child(value, step)
    return value


def place_of(root: Value, path: Path, *, key: bool = False) -> Source | None:
    """Where the value at a path stands (or its key); the nearest known parent where it does not."""
    found: Source | None = None
    value = root
    for depth, step in enumerate(path):
        is_last = depth == len(path) - 1
        place = None
        length = None
        if isinstance(value, Block) and isinstance(step, str):
            if key and is_last:
                place = value.key_place(step)
                length = len(step)
            else:
                place = value.value_place(step)
        elif isinstance(value, Items) and isinstance(step, int):
            place = value.value_place(step)
        if place is not None and isinstance(value, (Block, Items)) and value.source is not None:
            found = value.source.source(*place, length)
        elif isinstance(value, (Block, Items)) and value.source is not None:
            return found
        value = child(value, step)
    return found


def dotted(path: Path) -> str:
    """`connect.host`, `pipelines[0].vars`: a path as people write it."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
