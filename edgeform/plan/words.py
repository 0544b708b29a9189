"""One change as words: a symbol, what kind of thing, which one, and what happens to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from edgeform.domain.hardware import BUILT_ON_DEVICE
from edgeform.domain.names import short
from edgeform.domain.quantities import show_bytes, show_seconds
from edgeform.plan import changes as c
from edgeform.plan.changes import Change, Fidelity, Ref, Undoing


class Symbol(StrEnum):
    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    RESTORE = "!"
    """The world moved; this puts it back."""
    REBOOT = "^"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A change for people; `details` are lines of their own below it."""

    symbol: Symbol
    noun: str
    name: str
    text: str
    details: tuple[str, ...] = ()


def words_for(change: Change) -> Words:  # noqa: C901, PLR0912 - one case per kind of change
    """The change in words, without its costs."""
    match change:
        case c.InstallTool():
            return _words(Symbol.ADD, "tool", "edgeform-device", change.version)
        case c.UpdateTool():
            arrow = f"{change.before} -> {change.version}"
            return _words(Symbol.CHANGE, "tool", "edgeform-device", arrow)
        case c.Enrol():
            text = f"name, key and root of site {change.site}"
            return _words(Symbol.ADD, "identity", "", text)
        case c.InstallPackage():
            return _package(change)
        case c.LoadModule():
            return _words(Symbol.ADD, "module", change.name, "load, now and at boot")
        case c.WriteUdevRule():
            symbol = Symbol.CHANGE if change.replaces else Symbol.ADD
            return _words(symbol, "udev", change.name, change.path)
        case c.JoinGroup():
            return _words(Symbol.ADD, "group", change.name, "the runtime's user joins")
        case c.SetSysctl():
            before = "unset" if change.before is None else change.before
            return _words(Symbol.CHANGE, "sysctl", change.name, f"{before} -> {change.after}")
        case c.RunVendorRole():
            return _words(Symbol.CHANGE, "role", change.name, "vendor's Ansible role, as it is")
        case c.Reboot():
            return _words(Symbol.REBOOT, "reboot", "", "before the generation is switched")
        case c.PutSecret():
            symbol = Symbol.CHANGE if change.replaces else Symbol.ADD
            text = "another value" if change.replaces else "delivered on its own, never in a plan"
            return _words(symbol, "secret", change.name, text)
        case c.DropSecret():
            return _words(Symbol.REMOVE, "secret", change.name, "")
        case c.SwitchRuntime():
            return _artifact("runtime", change.name, change.before, change.after)
        case c.InstallModel():
            return _artifact("model", change.name, None, change.after)
        case c.ReplaceModel():
            words = _artifact("model", change.name, change.before, change.after)
            return replace(words, details=tuple(_figures(change.figures)))
        case c.Retire():
            text = f"{change.before}, no longer used"
            return _words(Symbol.REMOVE, change.kind, change.name, text)
        case c.AddPipeline():
            built = ", built on the device first" if change.engine in BUILT_ON_DEVICE else ""
            text = f"{change.model} on {change.engine}{built}"
            return _words(Symbol.ADD, "pipeline", change.name, text)
        case c.ChangePipeline():
            return Words(
                symbol=Symbol.CHANGE,
                noun="pipeline",
                name=change.name,
                text=f"{len(change.fields)} field" + ("s" if len(change.fields) != 1 else ""),
                details=tuple(_field(f) for f in change.fields),
            )
        case c.RemovePipeline():
            return _words(Symbol.REMOVE, "pipeline", change.name, "stops")
        case c.KeepGenerations():
            text = f"{change.before} -> {change.after}"
            return _words(Symbol.CHANGE, "keep", "generations", text)
        case c.RestoreDrift():
            text = f"is {_value(change.actual)}, should be {_value(change.expected)}"
            return _words(Symbol.RESTORE, change.kind, change.path, text)
        case _:
            assert_never(change)


_FIGURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", "accuracy", lambda value: f"{value:.4f}"),
    ("agreement", "agreement with its source", lambda value: f"{value:.4f}"),
    ("sqnr_db", "SQNR", lambda value: f"{value:.1f} dB"),
    ("p50_ms", "p50", lambda value: f"{value:g} ms"),
    ("size_bytes", "size", lambda value: show_bytes(int(value))),
)


def _figures(figures: tuple[c.Figure, ...]) -> Iterator[str]:
    """What the change of a model costs and gains, one figure a line."""
    by_name = {figure.name: figure for figure in figures}
    for name, words, show in _FIGURES:
        figure = by_name.get(name)
        if figure is None:
            continue
        before = "not measured" if figure.before is None else show(figure.before)
        after = "not measured" if figure.after is None else show(figure.after)
        yield f"{words} {before} -> {after}"


def costs(change: Change) -> str:
    """What the change costs and promises, in a few words; empty for a small exact change."""
    parts = []
    if change.send_bytes:
        parts.append(show_bytes(change.send_bytes))
    if change.downtime_s is None:
        parts.append("downtime unknown")
    elif change.downtime_s:
        down = f"down {show_seconds(change.downtime_s)}"
        parts.append(f"hot swap, else {down}" if getattr(change, "swaps", False) else down)
    if change.fidelity is Fidelity.OPAQUE:
        parts.append("opaque")
    if change.undo in (Undoing.PACKAGES, Undoing.NONE):
        parts.append(f"undo: {change.undo}")
    return " · ".join(parts)


def _words(symbol: Symbol, noun: str, name: str, text: str) -> Words:
    return Words(symbol=symbol, noun=noun, name=name, text=text)


def _package(change: c.InstallPackage) -> Words:
    after = change.after or "whichever the source offers"
    text = after if change.before is None else f"{change.before} -> {after}"
    if change.hold:
        text += ", held"
    symbol = Symbol.ADD if change.before is None else Symbol.CHANGE
    return _words(symbol, "package", change.name, f"{text} ({change.source})")


def _artifact(noun: str, name: str, before: Ref | None, after: Ref) -> Words:
    if before is None:
        return _words(Symbol.ADD, noun, name, str(after))
    if before.digest == after.digest:
        return _words(Symbol.CHANGE, noun, name, f"{after}, epoch raised")
    if str(before) == str(after):
        digests = f"{short(before.digest)} -> {short(after.digest)}"
        return _words(Symbol.CHANGE, noun, name, f"{after}, built again {digests}")
    if before.variant == after.variant:
        return _words(Symbol.CHANGE, noun, name, f"{before.version} -> {after}")
    return _words(Symbol.CHANGE, noun, name, f"{before} -> {after}")


def _field(field: c.FieldChange) -> str:
    if field.before is None:
        return f"+ {field.path}  {field.after}"
    if field.after is None:
        return f"- {field.path}  was {field.before}"
    return f"~ {field.path}  {field.before} -> {field.after}"


def _value(text: str) -> str:
    if text.startswith("sha256:"):
        return short(text)
    return text or "absent"
