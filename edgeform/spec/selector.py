"""Which devices: names, globs, `key=value` and `key!=value`; a comma means *and*, several mean *or*."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edgeform.domain.site import Device, Site
from edgeform.errors import UsageError
from edgeform.spec.shape import nearest

_TERM = re.compile(r"([a-z0-9][a-z0-9._/-]*)(!?=)(\S+)\Z")
_GLOB = re.compile(r"[a-z0-9*?\[][a-z0-9._*?\[\]!-]*\Z")


class BadSelector(ValueError):
    """The text is no selector; the message says which term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A device by name or glob."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A device by label; `class` is its hardware class or any that it extends."""

    key: str
    pattern: str
    is_negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A device as selectors see it."""

    name: str
    labels: Mapping[str, str]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """All terms must hold."""

    terms: tuple[Named | Labelled, ...]

    def matches(self, candidate: Candidate) -> bool:
        return all(_holds(term, candidate) for term in self.terms)


def parse(text: str) -> Selector:
    """The selector of a text.

    Raises:
        BadSelector: an empty term, a key without value, a name that no device can have.
    """
    terms: list[Named | Labelled] = []
    for part in text.split(","):
        term = part.strip()
        labelled = _TERM.match(term)
        if labelled is not None:
            key, sign, pattern = labelled.groups()
            terms.append(Labelled(key=key, pattern=pattern, is_negated=sign == "!="))
        elif _GLOB.match(term):
            terms.append(Named(pattern=term))
        else:
            raise BadSelector(f"{term!r} is neither a device name nor key=value.")
    return Selector(terms=tuple(terms))


def select(site: Site, texts: Iterable[str]) -> tuple[Device, ...]:
    """The devices that any of the selectors names, in the site's order; all without selectors.

    Raises:
        UsageError: a selector is malformed, or selects nothing.
    """
    wanted = tuple(texts)
    if not wanted:
        return site.devices
    chosen: set[str] = set()
    for text in wanted:
        try:
            selector = parse(text)
        except BadSelector as exc:
            raise UsageError(str(exc), address=f"-l {text}", hint=_FORM) from exc
        found = {d.name for d in site.devices if selector.matches(candidate(d))}
        if not found:
            hint = nearest(text, (d.name for d in site.devices)) or _labels_of(site)
            raise UsageError("No device of the site is selected.", address=f"-l {text}", hint=hint)
        chosen |= found
    return tuple(d for d in site.devices if d.name in chosen)


_FORM = "A selector is a name, a glob (cam-*), key=value or key!=value; commas mean and."


def candidate(device: Device) -> Candidate:
    """A device of a site as selectors see it."""
    return Candidate(name=device.name, labels=dict(device.labels), classes=device.hardware.lineage)


def _labels_of(site: Site) -> str:
    known = sorted({f"{key}={value}" for d in site.devices for key, value in d.labels})
    return f"Labels of this site: {', '.join(known[:10])}." if known else ""


def _holds(term: Named | Labelled, candidate: Candidate) -> bool:
    match term:
        case Named(pattern=pattern):
            return fnmatchcase(candidate.name, pattern)
        case Labelled(key="class", pattern=pattern, is_negated=is_negated):
            names = {c.removeprefix("builtin/") for c in candidate.classes}
            plain = pattern.removeprefix("builtin/")
            return any(fnmatchcase(name, plain) for name in names) != is_negated
        case Labelled(key=key, pattern=pattern, is_negated=is_negated):
            value = candidate.labels.get(key)
            return (value is not None and fnmatchcase(value, pattern)) != is_negated
