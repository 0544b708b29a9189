"""The renderer for people at a terminal: finished things scroll up, what is under way stays below.

rich is imported when the first event comes, so that nobody else pays for it.
"""

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

from edgeform import events
from edgeform.domain.quantities import show_bytes
from edgeform.events import Event
from edgeform.report.sentences import Sentence, Tone, sentence

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "green",
    Tone.CAREFUL: "yellow",
    Tone.BAD: "bold red",
    Tone.FAINT: "dim",
}
REFRESH_PER_S = 8.0
SHOWN_ROWS = 20
BAR_CELLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A device under way: what it is doing, and how far a transfer is (None: none under way)."""

    doing: str
    sent_bytes: int | None = None
    total_bytes: int = 0


class Tty:
    """A live table of the devices under way, on a stream that is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._live: Live | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            live = self._started()
            told = sentence(event)
            if self._goes_up(event):
                live.console.print(_painted(told), highlight=False)
            self._follow(event)
            live.update(self._table())

    def close(self) -> None:
        """End the live part and give the terminal back; safe to call twice."""
        with self._lock:
            if self._live is not None:
                self._rows.clear()
                self._live.update(self._table(), refresh=True)
                self._live.stop()
                self._live = None

    def _started(self) -> "Live":
        if self._live is None:
            from rich.console import Console  # noqa: PLC0415 - see the module's docstring
            from rich.live import Live  # noqa: PLC0415

            console = Console(file=self._stream, soft_wrap=True)
            self._live = Live(
                self._table(), console=console, refresh_per_second=REFRESH_PER_S, transient=True
            )
            self._live.start()
        return self._live

    @staticmethod
    def _goes_up(event: Event) -> bool:
        """Whether the sentence stays in the scroll-back; the rest is only shown while it lasts."""
        match event:
            case (
                events.TransferProgress()
                | events.StepStarted()
                | events.StepFinished()
                | events.BuildNote()
            ):
                return False
            case events.ObservationDone(reached=reached):
                return not reached
            case events.DriverStep(changed=changed, succeeded=succeeded):
                return changed or not succeeded
            case _:
                return True

    def _follow(self, event: Event) -> None:
        match event:
            case events.StepStarted(device=device, step=step):
                self._rows[device] = Row(doing=step)
            case events.BuildNote(variant=variant, text=text):
                self._rows[variant] = Row(doing=text)
            case events.VariantFinished(variant=variant):
                self._rows.pop(variant, None)
            case events.TransferProgress(device=device):
                row = self._rows.get(device, Row(doing="sending"))
                self._rows[device] = replace(
                    row, sent_bytes=event.sent_bytes, total_bytes=event.total_bytes
                )
            case (
                events.DeviceCommitted(device=device)
                | events.DeviceRolledBack(device=device)
                | events.DeviceUnchanged(device=device)
                | events.DeviceFailed(device=device)
            ):
                self._rows.pop(device, None)
            case _:
                pass

    def _table(self) -> "Table":
        from rich.table import Table  # noqa: PLC0415 - see the module's docstring

        table = Table.grid(padding=(0, 2))
        for device, row in sorted(self._rows.items())[:SHOWN_ROWS]:
            table.add_row(device, row.doing, _bar(row))
        more = len(self._rows) - SHOWN_ROWS
        if more > 0:
            table.add_row("", f"and {more} more", "")
        return table


def _bar(row: Row) -> str:
    if row.sent_bytes is None or not row.total_bytes:
        return ""
    filled = min(BAR_CELLS, BAR_CELLS * row.sent_bytes // row.total_bytes)
    bar = "█" * filled + "░" * (BAR_CELLS - filled)
    return f"{bar} {show_bytes(row.sent_bytes)} of {show_bytes(row.total_bytes)}"


def _painted(told: Sentence) -> "object":
    from rich.text import Text  # noqa: PLC0415 - see the module's docstring

    return Text(str(told), style=STYLES[told.tone])
