"""The YAML 1.2 core schema: which plain word is a null, a boolean or a number.

`on`, `no`, `012` and `1:30` keep their plain meaning here; a YAML 1.1 reader would surprise people.
"""

import re

from edgeform.spec.nodes import Scalar

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_MAY_BE_A_NUMBER = frozenset("0123456789+-.")
MAX_DIGITS = 40


class NotARealNumber(ValueError):
    """An infinity, a NaN, or more digits than anything we configure can have."""


def plain(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar.

    Raises:
        NotARealNumber: it is a number, but none that a site can use.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_A_NUMBER:
        return text
    if _INTEGER.match(text):
        if len(text) > MAX_DIGITS:
            raise NotARealNumber(text)
        return int(text[2:], 8 if text[1] == "o" else 16) if text[1:2] in ("o", "x") else int(text)
    if _FLOAT.match(text):
        number = float(text) if len(text) <= 10 * MAX_DIGITS else float("inf")
        if number in (float("inf"), float("-inf")):
            raise NotARealNumber(text)
        return number
    if _NOT_FINITE.match(text):
        raise NotARealNumber(text)
    return text
