"""A site while it is watched: as a live table, as lines for a log, as JSON Lines for a program."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TextIO, assert_never

from edgeform.domain.watched import DeviceSeen, DeviceUnknown, Look, PipelineSeen
from edgeform.report.choose import Form
from edgeform.report.clean import one_line
from edgeform.report.tables import Column, table

if TYPE_CHECKING:
    from rich.live import Live

SCHEMA = "edgeform.watch/1"
COLUMNS = (
    Column(title="DEVICE"),
    Column(title="PIPELINE"),
    Column(title="STATE"),
    Column(title="GEN", right=True),
    Column(title="FPS", right=True),
    Column(title="P50 MS", right=True),
    Column(title="P95 MS", right=True),
    Column(title="DROPPED", right=True),
    Column(title="FAILED", right=True),
    Column(title="PSI", right=True),
    Column(title="TEMP C", right=True),
    Column(title="DETAIL"),
)
NONE = "-"
FAR_DETAIL = 80


class Watching(Protocol):
    """Shows one round of looks after the other; must be closed, so that a terminal is left as it was."""

    def show(self, looks: Sequence[Look]) -> None: ...

    def close(self) -> None: ...


def open_watching(form: Form, stream: TextIO) -> Watching:
    match form:
        case Form.TTY:
            return _Live(stream)
        case Form.PLAIN:
            return _Plain(stream)
        case Form.JSONL:
            return _JsonLines(stream)
        case _:
            assert_never(form)


def watch_table(looks: Sequence[Look]) -> str:
    """One line per pipeline, and one per device that does not answer."""
    return table(COLUMNS, [row for look in looks for row in _rows(look)])


def lines(look: Look) -> tuple[str, ...]:
    """The look as lines of a log: when, where, and every figure with its name."""
    match look:
        case DeviceUnknown():
            said = one_line(f"{look.reason}: {look.detail}" if look.detail else look.reason)
            return (
                f"{_clock(look.at)}  {look.device}  unknown since {_clock(look.since)}: {said}",
            )
        case DeviceSeen():
            head = f"{_clock(look.at)}  {look.device}"
            machine = f"temperature {_shown(look.temperature_c, 1)} C"
            if not look.pipelines:
                return (f"{head}  no pipelines  {machine}{_trouble(look)}",)
            return tuple(
                f"{head}/{p.name}  {p.phase}  generation {p.generation}  fps {_shown(p.fps, 1)}"
                f"  p50 {_shown(p.p50_ms, 2)} ms  p95 {_shown(p.p95_ms, 2)} ms  dropped {p.dropped}"
                f"  failed {p.failed}  psi {_shown(p.psi, 2)}  {machine}{_trouble(look)}"
                for p in look.pipelines
            )
        case _:
            assert_never(look)


def json_lines(look: Look) -> tuple[str, ...]:
    """The look as one object (schemas/watch.schema.json)."""
    value = {"schema": SCHEMA, "answered": isinstance(look, DeviceSeen), **asdict(look)}
    value["at"] = _clock(look.at)
    if isinstance(look, DeviceUnknown):
        value["since"] = _clock(look.since)
    return (json.dumps(value, sort_keys=True, ensure_ascii=False),)


def _rows(look: Look) -> tuple[tuple[str, ...], ...]:
    match look:
        case DeviceUnknown():
            said = f"since {_clock(look.since)}: {look.reason}: {look.detail}"
            return ((look.device, NONE, "unknown", *(NONE,) * 8, one_line(said)[:FAR_DETAIL]),)
        case DeviceSeen():
            found = look.pipelines
            if not found:
                empty = (NONE, "empty", str(look.generation or NONE), *(NONE,) * 6)
                return ((look.device, *empty, _shown(look.temperature_c, 1), look.needs_hands),)
            return tuple(_row(look, pipeline) for pipeline in found)
        case _:
            assert_never(look)


def _row(look: DeviceSeen, pipeline: PipelineSeen) -> tuple[str, ...]:
    detail = look.needs_hands or (
        f"transaction {look.transaction}" if look.transaction else pipeline.detail
    )
    return (
        look.device,
        pipeline.name,
        pipeline.phase,
        str(pipeline.generation or NONE),
        _shown(pipeline.fps, 1),
        _shown(pipeline.p50_ms, 2),
        _shown(pipeline.p95_ms, 2),
        str(pipeline.dropped),
        str(pipeline.failed),
        _shown(pipeline.psi, 2) + ("!" if pipeline.is_shifted else ""),
        _shown(look.temperature_c, 1),
        one_line(detail)[:FAR_DETAIL],
    )


def _trouble(look: DeviceSeen) -> str:
    if look.needs_hands:
        return f"  needs hands: {one_line(look.needs_hands)}"
    return f"  transaction {look.transaction}" if look.transaction else ""


def _shown(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Plain:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, looks: Sequence[Look]) -> None:
        for look in looks:
            self._stream.write("\n".join(lines(look)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


class _JsonLines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, looks: Sequence[Look]) -> None:
        for look in looks:
            self._stream.write("\n".join(json_lines(look)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


class _Live:
    """The table, drawn over itself; what it showed last stays on the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live: Live | None = None

    def show(self, looks: Sequence[Look]) -> None:
        from rich.text import Text  # noqa: PLC0415 - only a terminal pays for it

        self._started().update(Text(watch_table(looks).rstrip(), no_wrap=True), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _started(self) -> "Live":
        if self._live is None:
            from rich.console import Console  # noqa: PLC0415 - as above
            from rich.live import Live  # noqa: PLC0415

            self._live = Live(console=Console(file=self._stream), auto_refresh=False)
            self._live.start()
        return self._live
