"""One event as one sentence, for the terminal and for the plain log alike."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from edgeform import events
from edgeform.domain.quantities import show_bytes, show_count, show_seconds
from edgeform.events import Event
from edgeform.report.clean import one_line


class Tone(StrEnum):
    """How a sentence is meant, for whoever paints it."""

    PLAIN = "plain"
    GOOD = "good"
    CAREFUL = "careful"
    BAD = "bad"
    FAINT = "faint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """`device` is empty for what concerns the whole run."""

    device: str
    text: str
    tone: Tone = Tone.PLAIN

    def __str__(self) -> str:
        return f"{self.device}: {self.text}" if self.device else self.text


def sentence(event: Event) -> Sentence:
    """The event in words, on one line, harmless whatever a device wrote into it."""
    found = _sentence(event)
    return Sentence(device=one_line(found.device), text=one_line(found.text), tone=found.tone)


def _sentence(event: Event) -> Sentence:  # noqa: C901, PLR0912 - one case per kind of event
    match event:
        case events.SiteLoaded():
            text = (
                f"loaded site {event.site}: {show_count(event.devices, 'device')}"
                f" from {show_count(event.files, 'file')} in {show_seconds(event.seconds)}"
            )
            return Sentence(device="", text=text)
        case events.ObservationDone():
            if event.reached:
                text = f"observed in {show_seconds(event.seconds)}{_behind(event.detail)}"
                return Sentence(device=event.device, text=text, tone=Tone.FAINT)
            text = f"not reached after {show_seconds(event.seconds)}{_behind(event.detail)}"
            return Sentence(device=event.device, text=text, tone=Tone.CAREFUL)
        case events.Published():
            text = (
                f"published {show_count(event.devices, 'deployment')},"
                f" timestamp version {event.timestamp_version}"
            )
            return Sentence(device="", text=text)
        case events.TransferProgress():
            text = f"sent {show_bytes(event.sent_bytes)} of {show_bytes(event.total_bytes)}"
            return Sentence(device=event.device, text=text, tone=Tone.FAINT)
        case events.StepStarted():
            return Sentence(device=event.device, text=event.step, tone=Tone.FAINT)
        case events.StepFinished():
            text = f"{event.step} done in {show_seconds(event.seconds)}{_behind(event.detail)}"
            return Sentence(device=event.device, text=text)
        case events.DriverStep():
            return _driver(event)
        case events.CheckFinished():
            text = f"check {event.pipeline} {event.check}: {event.verdict}{_behind(event.detail)}"
            return Sentence(device=event.device, text=text, tone=_verdict_tone(event.verdict))
        case events.DeviceCommitted():
            text = (
                f"committed generation {event.to_generation}"
                f"{f' after {event.from_generation}' if event.from_generation else ''}"
                f" in {show_seconds(event.seconds)}"
            )
            return Sentence(device=event.device, text=text, tone=Tone.GOOD)
        case events.DeviceRolledBack():
            text = (
                f"rolled back from generation {event.from_generation}"
                f" to {event.to_generation}{_behind(event.reason)}"
            )
            return Sentence(device=event.device, text=text, tone=Tone.CAREFUL)
        case events.DeviceUnchanged():
            text = f"unchanged on generation {event.generation}"
            return Sentence(device=event.device, text=text, tone=Tone.FAINT)
        case events.DeviceFailed():
            hint = f"  ({event.hint})" if event.hint else ""
            text = f"{event.outcome}{_behind(event.detail)}{hint}"
            return Sentence(device=event.device, text=text, tone=Tone.BAD)
        case events.BuildNote():
            return Sentence(device=event.variant, text=event.text, tone=Tone.FAINT)
        case events.VariantFinished():
            text = f"{event.outcome} in {show_seconds(event.seconds)}{_behind(event.detail)}"
            is_good = event.outcome in ("built", "cached")
            return Sentence(
                device=event.variant, text=text, tone=Tone.GOOD if is_good else Tone.BAD
            )
        case events.Note():
            return Sentence(device=event.device, text=event.text)
        case _:
            assert_never(event)


def _driver(event: events.DriverStep) -> Sentence:
    state = "failed" if not event.succeeded else "changed" if event.changed else "as it was"
    tone = Tone.BAD if not event.succeeded else Tone.PLAIN if event.changed else Tone.FAINT
    text = f"driver {event.operation}: {state}{_behind(event.detail)}"
    return Sentence(device=event.device, text=text, tone=tone)


def _verdict_tone(verdict: str) -> Tone:
    return {"pass": Tone.GOOD, "fail": Tone.BAD, "inconclusive": Tone.CAREFUL}.get(
        verdict, Tone.FAINT
    )


def _behind(detail: str) -> str:
    return f": {detail}" if detail else ""
