"""Which renderer a run gets: asked for, or as the surroundings say."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, TextIO, assert_never

from edgeform.events import Event
from edgeform.report.plain import Clock, JsonLines, Plain
from edgeform.report.tty import Tty


class Form(StrEnum):
    TTY = "tty"
    PLAIN = "plain"
    JSONL = "jsonl"


class Talk(Protocol):
    """A listener that must be closed, so that a terminal is left as it was found."""

    def __call__(self, event: Event, /) -> None: ...

    def close(self) -> None: ...


def choose(asked: Form | None, environment: Mapping[str, str], *, is_terminal: bool) -> Form:
    """The form to render in.

    Without a terminal, in CI, with NO_COLOR or on a dumb terminal nothing is rewritten or painted.
    """
    if asked is not None:
        return asked
    if not is_terminal or not may_paint(environment, is_terminal=is_terminal):
        return Form.PLAIN
    return Form.PLAIN if environment.get("CI", "").lower() in ("true", "1") else Form.TTY


def may_paint(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Whether colour may be used: https://no-color.org counts any value but the empty one."""
    return is_terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def open_talk(form: Form, stream: TextIO, clock: Clock) -> Talk:
    """The renderer, writing to `stream` (standard error, but for events that are the result)."""
    match form:
        case Form.TTY:
            return Tty(stream)
        case Form.PLAIN:
            return Plain(stream, clock)
        case Form.JSONL:
            return JsonLines(stream, clock)
        case _:
            assert_never(form)
