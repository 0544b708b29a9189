"""The words of a rule with their places."""

import re
from dataclasses import dataclass
from typing import List

from edgeform_wire.errors import WireError

MAX_LENGTH = 1000
MAX_WORDS = (
    200  # a chain of operators is as deep as it is long; evaluation must not run out of stack
)
NUMBER, TEXT, NAME, SIGN, END = "number", "text", "name", "sign", "end"
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?)"
    r"|(?P<text>\"[^\"\\\n]*\"|'[^'\\\n]*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})"
    r"|(?P<sign>==|!=|<=|>=|[<>()+*/,-])"
)
_SPACE = re.compile(r"[ \t\n]*")


class RuleError(WireError):
    """A rule that cannot be read; `column` counts from 0, `reason` is the sentence without the picture."""

    def __init__(self, reason: str, rule: str, column: int) -> None:
        self.reason, self.rule, self.column = reason, rule, column
        super().__init__(f"{reason}\n    {_shown(rule)}\n    {' ' * column}^")


def _shown(rule: str) -> str:
    return "".join(" " if letter in "\t\n" else letter for letter in rule)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    column: int


def tokens_of(rule: str) -> List[Token]:
    """The words of the rule, and an END behind the last.

    Raises:
        RuleError: it is too long, or a sign is none of the language's.
    """
    if len(rule) > MAX_LENGTH:
        raise RuleError(f"the rule has {len(rule)} characters, at most {MAX_LENGTH}", "", 0)
    found: List[Token] = []
    place = _skip(rule, 0)
    while place < len(rule):
        match = _TOKEN.match(rule, place)
        if match is None or match.lastgroup is None:
            raise RuleError(_strange(rule[place]), rule, place)
        if len(found) == MAX_WORDS:
            raise RuleError(f"the rule has more than {MAX_WORDS} words and signs", rule, place)
        found.append(Token(match.lastgroup, match.group(), place))
        place = _skip(rule, match.end())
    found.append(Token(END, "", len(rule)))
    return found


def _skip(rule: str, place: int) -> int:
    match = _SPACE.match(rule, place)
    return place if match is None else match.end()


def _strange(letter: str) -> str:
    if letter in "\"'":
        return "this text has no end; a text holds no quote of its own kind and no backslash"
    if letter == "=":
        return "'=' alone means nothing; write '=='"
    if letter in "&|!":
        return "write 'and', 'or', 'not'"
    return f"{letter!r} does not belong into a rule"
