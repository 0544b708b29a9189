"""Problems as values.

A problem in a site is a `Diagnostic`: collected, sorted and shown together with its neighbours,
never raised one at a time. This module knows how to order and to print them, and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a problem stands, with the line itself so that it can be shown under a caret."""

    position: Position
    line_text: str = ""
    length: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One problem.

    Args:
        code: stable, `EF` and four digits; `edgeform explain CODE` tells more.
        severity: an error stops, a warning does not.
        summary: constant for a code; what kind of problem this is.
        detail: what is wrong here, and why.
        address: the object in the site, as `devices.cam-03.pipelines[0]`.
        source: the place in a file, where there is one.
        hint: what to do; a command stands alone on an indented line.
    """

    code: str
    severity: Severity = Severity.ERROR
    summary: str
    detail: str = ""
    address: str = ""
    source: Source | None = None
    hint: str = ""


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics by file, line and column; those without a place come last."""

    def key(diagnostic: Diagnostic) -> tuple[bool, str, int, int, str, str, str]:
        said = (diagnostic.code, diagnostic.detail, diagnostic.address)
        if diagnostic.source is None:
            return (True, diagnostic.address, 0, 0, *said)
        position = diagnostic.source.position
        return (False, position.file, position.line, position.column, *said)

    return tuple(sorted(set(diagnostics), key=key))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in diagnostics)


def rendered(diagnostic: Diagnostic) -> str:
    """The diagnostic as plain text, several lines, without a trailing newline."""
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.summary}"]
    if diagnostic.source is not None:
        where = diagnostic.source.position
        address = f"  ({diagnostic.address})" if diagnostic.address else ""
        lines.append(f"  --> {where}{address}")
        if diagnostic.source.line_text:
            lines += _with_caret(diagnostic.source)
    elif diagnostic.address:
        lines.append(f"  {diagnostic.address}")
    lines += [f"  {line}" for line in diagnostic.detail.splitlines()]
    if diagnostic.hint:
        first, *rest = diagnostic.hint.splitlines()
        lines += [f"  help: {first}", *(f"  {line}" for line in rest)]
    return "\n".join(lines)


SHOWN_COLUMNS = 96
"""A longer source line is cut around the caret, so that the caret stays under its word."""


def _with_caret(source: Source) -> tuple[str, str]:
    text = source.line_text.expandtabs(1)
    start = source.position.column - 1
    if len(text) > SHOWN_COLUMNS:
        left = max(0, min(start - SHOWN_COLUMNS // 2, len(text) - SHOWN_COLUMNS))
        text = ("…" if left else "") + text[left + bool(left) : left + SHOWN_COLUMNS]
        start -= left
    number = str(source.position.line)
    marks = "^" * max(1, min(source.length, len(text) - start))
    return f" {number} | {text}", f" {' ' * len(number)} | {' ' * start}{marks}"
