"""A plan's lines with colour, where colour is wanted: eight colours that every terminal has."""

from collections.abc import Iterable

from edgeform.plan import Line, Meaning
from edgeform.report.clean import harmless

_CODES = {
    Meaning.PLAIN: "",
    Meaning.HEADING: "1",
    Meaning.ADD: "32",
    Meaning.CHANGE: "33",
    Meaning.REMOVE: "31",
    Meaning.DRIFT: "35",
    Meaning.FAINT: "2",
    Meaning.PROBLEM: "31",
}


def paint(lines: Iterable[Line], *, colour: bool) -> str:
    """The lines as one text; without colour it is exactly their text."""
    return "".join(f"{_painted(line) if colour else harmless(line.text)}\n" for line in lines)


def _painted(line: Line) -> str:
    code = _CODES[line.meaning]
    text = harmless(line.text)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text
