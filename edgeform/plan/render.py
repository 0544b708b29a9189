"""A plan as text: lines of spans with a meaning, no colour and no terminal in sight.

`report` gives the meanings their colours; `as_text` drops them.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from edgeform.diagnostics import rendered
from edgeform.domain.names import short
from edgeform.domain.quantities import show_bytes, show_seconds
from edgeform.plan.changes import (
    Change,
    Fidelity,
    Reason,
    ToolChange,
    downtime_s,
    send_bytes,
    swaps_all,
    worst_undo,
)
from edgeform.plan.groups import Group, devices_named, groups
from edgeform.plan.plan import Blocked, Busy, Changed, Held, Plan, Unchanged, Unreachable
from edgeform.plan.words import Symbol, Words, costs, words_for

MIN_WIDTH = 60


class Meaning(StrEnum):
    """What a span says, for whoever paints it."""

    PLAIN = "plain"
    HEADING = "heading"
    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    DRIFT = "drift"
    FAINT = "faint"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    text: str
    meaning: Meaning = Meaning.PLAIN


_SYMBOL_MEANING = {
    Symbol.ADD: Meaning.ADD,
    Symbol.CHANGE: Meaning.CHANGE,
    Symbol.REMOVE: Meaning.REMOVE,
    Symbol.RESTORE: Meaning.DRIFT,
    Symbol.REBOOT: Meaning.CHANGE,
}
_REASONS = {
    Reason.FIRST_INSTALL: "first install",
    Reason.SPEC_CHANGED: "spec changed",
    Reason.VERSION_MOVED: "version moved",
    Reason.REBUILT: "built again",
    Reason.TOOL_CHANGED: "tool changed",
    Reason.DRIFT: "drift",
}
_LEGEND = "Symbols: + add  ~ change  - remove  ! put back (the device drifted)  ^ reboot"


def as_text(lines: Iterable[Line]) -> str:
    return "".join(f"{line.text}\n" for line in lines)


def render(plan: Plan, *, width: int = 100, expand: bool = False) -> tuple[Line, ...]:
    """The plan for people.

    Args:
        width: no line is longer. expand: every device by itself, with reasons and digests.
    """
    width = max(width, MIN_WIDTH)
    lines: list[Line] = []
    found = groups(plan, apart=expand)
    if any(isinstance(group.first, Changed) for group in found):
        lines += [Line(text=_LEGEND, meaning=Meaning.FAINT), Line(text="")]
    for group in found:
        lines += _group(group, expand=expand)
    if lines and lines[-1].text:
        lines.append(Line(text=""))
    lines.append(Line(text=summary_line(plan), meaning=Meaning.HEADING))
    return tuple(wrapped for line in lines for wrapped in _wrapped(line, width))


def render_group(group: Group, *, width: int = 100, expand: bool = False) -> tuple[Line, ...]:
    """One group as `render` shows it, its head first: for those who put groups into another frame."""
    lines = tuple(_group(group, expand=expand))[:-1]
    return tuple(wrapped for line in lines for wrapped in _wrapped(line, max(width, MIN_WIDTH)))


def summary_line(plan: Plan) -> str:
    """`Plan: 7 to change, 1 unchanged, 1 blocked · up to 68.0 MB to send · at most 2.0 s down each`."""
    summary = plan.summary
    counts = [f"{summary.changed} to change", f"{summary.unchanged} unchanged"]
    counts += [
        f"{count} {name}"
        for name in ("blocked", "held", "busy", "unreachable")
        if (count := getattr(summary, name))
    ]
    parts = [", ".join(counts)]
    if summary.changed:
        parts.append(f"{_sent(summary.send_bytes)} to send")
        downs = [downtime_s(device.changes) for device in plan.changed]
        known = [down for down in downs if down is not None]
        if len(known) < len(downs):
            parts.append(f"downtime unknown on {len(downs) - len(known)}")
        elif max(known):
            parts.append(f"at most {show_seconds(max(known))} down each")
        if reboots := sum(any(x.reboot for x in device.changes) for device in plan.changed):
            parts.append(f"{reboots} to reboot")
    return "Plan: " + " · ".join(parts)


def _group(group: Group, *, expand: bool) -> Iterator[Line]:
    match group.first:
        case Changed() as device:
            yield _head(group, "~", Meaning.CHANGE, _generations(group))
            yield from _changed(device, expand=expand)
        case Held() as device:
            yield _head(group, "=", Meaning.PROBLEM, "held")
            yield Line(text=f"    {device.detail}: {short(device.digest)}")
            yield Line(
                text="    It is not tried again by itself. See why, then change the spec or the model:"
            )
            yield Line(text=f"        edgeform receipts {group.names[0]}")
            yield Line(text="    If what it failed of is gone, let it be tried again:")
            yield Line(text=f"        edgeform release {group.names[0]} {short(device.digest)}")
        case Busy() as device:
            yield _head(group, "=", Meaning.PROBLEM, "busy")
            what = device.transaction
            yield Line(
                text=f"    {what.who} has transaction {what.id} under way ({what.phase}),"
                f" until {what.until}"
            )
        case Blocked() as device:
            yield _head(group, "x", Meaning.PROBLEM, "blocked")
            for problem in device.problems:
                for text in rendered(problem).splitlines():
                    yield Line(text=f"    {text}", meaning=Meaning.PROBLEM)
        case Unreachable() as device:
            yield _head(group, "?", Meaning.PROBLEM, f"unreachable ({device.reason})")
            yield from (Line(text=f"    {text}") for text in device.detail.splitlines())
            yield from (Line(text=f"    {text}") for text in device.hint.splitlines())
        case Unchanged():
            yield _head(group, "=", Meaning.FAINT, "unchanged")
        case _:
            assert_never(group.first)
    yield Line(text="")


def _head(group: Group, symbol: str, meaning: Meaning, tail: str) -> Line:
    count = len(group.devices)
    devices = f"{count} device" + ("s" if count > 1 else "")
    text = f"{symbol} group {group.label} · {devices}: {devices_named(group.names)}"
    return Line(text=f"{text}    {tail}" if tail else text, meaning=meaning)


def _generations(group: Group) -> str:
    bases = {device.base.generation for device in group.devices if isinstance(device, Changed)}
    if len(bases) > 1:
        return f"from gen {min(bases)} to {max(bases)}"
    (base,) = bases
    return f"gen {base}" if base else "no generation yet"


def _changed(device: Changed, *, expand: bool) -> Iterator[Line]:
    moved = tuple(x for x in device.changes if x.reason is Reason.DRIFT)
    ours = tuple(x for x in device.changes if x.reason is not Reason.DRIFT)
    if moved:
        yield Line(text="    The world moved:", meaning=Meaning.DRIFT)
        yield from _changes(moved, expand=expand)
    if ours:
        if moved:
            yield Line(text="    We moved (spec, lock or tool):", meaning=Meaning.HEADING)
        yield from _changes(ours, expand=expand)
    for name, why in device.reasons:
        if expand or _touches(device, name):
            yield Line(text=f"      {name}: {why}", meaning=Meaning.FAINT)
    yield Line(text=f"    {_total(device)}", meaning=Meaning.FAINT)


def _touches(device: Changed, name: str) -> bool:
    return any(getattr(change, "name", None) == name for change in device.changes)


def _down(changes: tuple[Change, ...]) -> str:
    down = downtime_s(changes)
    if down is None:
        return "downtime unknown"
    if down and swaps_all(changes):
        return f"no downtime, or down {show_seconds(down)} where memory has no room for two models"
    return f"down {show_seconds(down)}" if down else "no downtime"


def _total(device: Changed) -> str:
    opaque = sum(change.fidelity is Fidelity.OPAQUE for change in device.changes)
    parts = [
        f"{opaque} of {len(device.changes)} opaque" if opaque else "exact",
        f"sends {_sent(send_bytes(device.changes))}",
        _down(device.changes),
        "reboots" if any(change.reboot for change in device.changes) else "no reboot",
        f"undo: {_undo(device)}",
    ]
    return "each: " + ", ".join(parts)


def _sent(size: int) -> str:
    """Artifacts, of which the device may have parts already; signed documents are a few kB more."""
    return f"up to {show_bytes(size)}" if size else "metadata only"


def _undo(device: Changed) -> str:
    """The promise about what the device runs; that a tool stays installed takes nothing from it."""
    about = tuple(x for x in device.changes if not isinstance(x, ToolChange)) or device.changes
    return worst_undo(about)


def _changes(changes: tuple[Change, ...], *, expand: bool) -> Iterator[Line]:
    told = tuple((change, words_for(change)) for change in changes)
    nouns = max(len(words.noun) for _, words in told)
    names = (
        max(len(words.name) for _, words in told if len(words.name) <= 32) if _short(told) else 0
    )
    for change, words in told:
        yield Line(text=_line(change, words, nouns, names), meaning=_SYMBOL_MEANING[words.symbol])
        for detail in words.details:
            yield Line(text=f"          {detail}", meaning=Meaning.CHANGE)
        if change.why:
            yield Line(text=f"          {change.why}", meaning=Meaning.FAINT)
        if expand:
            yield Line(text=f"          {_fine_print(change)}", meaning=Meaning.FAINT)


def _short(told: tuple[tuple[Change, Words], ...]) -> bool:
    return any(len(words.name) <= 32 for _, words in told)


def _line(change: Change, words: Words, nouns: int, names: int) -> str:
    parts = [f"    {words.symbol} {words.noun:<{nouns}}", f"{words.name:<{names}}", words.text]
    tail = costs(change)
    if change.reason not in (Reason.DRIFT, Reason.SPEC_CHANGED, Reason.FIRST_INSTALL):
        tail = " · ".join(part for part in (_REASONS[change.reason], tail) if part)
    return "  ".join([*parts, tail] if tail else parts).rstrip()


def _fine_print(change: Change) -> str:
    parts = [change.address, _REASONS[change.reason], str(change.fidelity), f"undo: {change.undo}"]
    for name in ("before", "after"):
        ref = getattr(change, name, None)
        if ref is not None and (digest := getattr(ref, "digest", "")):
            parts.append(f"{name} {short(digest)}")
    return " · ".join(parts)


_UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0))}
"""A device's words must not steer the terminal they are read on."""

_QUANTITY = re.compile(r"(\d) (B|kB|MB|GB|TB|s|min|h)\b")
"""A number stays on the line of its unit."""


def _wrapped(line: Line, width: int) -> Iterator[Line]:
    line = replace(line, text=line.text.translate(_UNPRINTABLE))
    if len(line.text) <= width:
        yield line
        return
    indent = len(line.text) - len(line.text.lstrip()) + 2
    for text in textwrap.wrap(
        _QUANTITY.sub("\\1\0\\2", line.text),
        width,
        initial_indent="",
        subsequent_indent=" " * indent,
        replace_whitespace=False,
        drop_whitespace=True,
    ):
        yield Line(text=text.replace("\0", " "), meaning=line.meaning)
