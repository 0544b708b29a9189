"""Semantic versions and ranges of them (semver.org 2.0.0; ranges as most package managers write them).

`^1.2` from 1.2.0 to below 2.0.0 (`^0.2`: below 0.3.0), `~1.4` from 1.4.0 to below 1.5.0, `1.x` and `1`
any 1, `>=1.2, <2` both. A pre-release is taken only where the range names one of the same version.
"""

import re
from dataclasses import dataclass
from functools import total_ordering

_NUMBER = r"(0|[1-9][0-9]{0,8})"
_PRE = r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}{_PRE}\Z")
_TERM = re.compile(
    rf"(\^|~|>=|<=|>|<|=)?\s*{_NUMBER}(?:\.(?:{_NUMBER}|[x*]))?(?:\.(?:{_NUMBER}|[x*]))?{_PRE}\Z"
)


class BadRange(ValueError):
    """The text is no range of versions."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """One version; build metadata takes no part in order or equality."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()

    def __lt__(self, other: "Version") -> bool:
        mine, theirs = self.numbers, other.numbers
        if mine != theirs:
            return mine < theirs
        if not self.pre or not other.pre:
            return bool(self.pre) and not other.pre
        return [_precedence(p) for p in self.pre] < [_precedence(p) for p in other.pre]

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Major, minor, patch."""
        return (self.major, self.minor, self.patch)

    def __str__(self) -> str:
        text = ".".join(str(n) for n in self.numbers)
        return f"{text}-{'.'.join(self.pre)}" if self.pre else text


def _precedence(part: str) -> tuple[bool, int, str]:
    return (False, int(part), "") if part.isdigit() else (True, 0, part)


def parse(text: str) -> Version | None:
    """The version of a text; None if it is none."""
    found = _VERSION.match(text)
    if found is None:
        return None
    major, minor, patch, pre, _ = found.groups()
    return Version(int(major), int(minor), int(patch), tuple(pre.split(".")) if pre else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """`low` <= version < `high`; `names` a pre-release that may be taken."""

    low: Version
    high: Version | None
    has_low: bool = True
    has_high: bool = False
    names: Version | None = None

    def holds(self, version: Version) -> bool:
        above = version >= self.low if self.has_low else version > self.low
        if self.high is None:
            return above
        return above and (version <= self.high if self.has_high else version < self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """All terms must hold."""

    terms: tuple[_Bound, ...]

    def holds(self, version: Version) -> bool:
        if version.pre and not any(_same_release(version, term.names) for term in self.terms):
            return False
        return all(term.holds(version) for term in self.terms)


def parse_range(text: str) -> Range:
    """The range of a text.

    Raises:
        BadRange: says which term.
    """
    terms = [term for term in re.split(r"\s*,\s*|\s+(?=[<>=^~])", text.strip()) if term]
    if not terms:
        raise BadRange("The range is empty.")
    return Range(terms=tuple(_bound(term) for term in terms))


_ZERO = Version(0, 0, 0, ("0",))
"""Lower than every version, pre-releases of 0.0.0 included."""


def _bound(term: str) -> _Bound:  # noqa: C901 - one case for each sign
    if term in ("*", "x"):
        return _Bound(low=_ZERO, high=None)
    found = _TERM.match(term)
    if found is None:
        raise BadRange(f"{term!r} is no range; write for example ^1.2, ~1.4, 1.x or >=1.2, <2.")
    sign, major, minor, patch, pre, _ = found.groups()
    low = Version(
        int(major), int(minor or 0), int(patch or 0), tuple(pre.split(".")) if pre else ()
    )
    named = low if pre else None
    next_minor = _first(low.major, low.minor + 1)
    whole = _first(low.major + 1, 0) if minor is None else next_minor
    match sign:
        case ">=":
            return _Bound(low=low, high=None, names=named)
        case ">":
            if patch is None:
                return _Bound(low=whole, high=None)
            return _Bound(low=low, high=None, has_low=False, names=named)
        case "<":
            return _Bound(low=_ZERO, high=low if pre else _first(*low.numbers), names=named)
        case "<=":
            if patch is None:
                return _Bound(low=_ZERO, high=whole)
            return _Bound(low=_ZERO, high=low, has_high=True, names=named)
        case "^":
            return _Bound(low=low, high=_caret_end(low, minor, patch), names=named)
        case "~":
            return _Bound(low=low, high=whole, names=named)
        case _:
            if patch is None:
                return _Bound(low=low, high=whole)
            return _Bound(low=low, high=low, has_high=True, names=named)


def _caret_end(low: Version, minor: str | None, patch: str | None) -> Version:
    if low.major or minor is None:
        return _first(low.major + 1, 0)
    if low.minor or patch is None:
        return _first(0, low.minor + 1)
    return _first(0, 0, low.patch + 1)


def _first(major: int, minor: int, patch: int = 0) -> Version:
    """Below every version of this number, its pre-releases included."""
    return Version(major, minor, patch, ("0",))


def _same_release(version: Version, named: Version | None) -> bool:
    return named is not None and version.numbers == named.numbers
