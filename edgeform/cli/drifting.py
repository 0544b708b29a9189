"""What `drift` does beside looking: checks on a sample, metrics, messages, kept findings."""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.cli.asking import Missed, Roll, ask_each, tell
from edgeform.cli.checking import ask_checks
from edgeform.cli.device_keys import pinned_key
from edgeform.domain.observed import DriftFound
from edgeform.domain.site import Device
from edgeform.drift.compare import Compared, Word
from edgeform.drift.metrics import textfile
from edgeform.drift.notify import Delivery, Webhook, deliver, is_news, message, webhook
from edgeform.errors import Corrupt, NotTrusted, UsageError
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.secrets.references import parse_reference
from edgeform.secrets.resolver import Resolver
from edgeform.transport.base import Transport
from edgeform_device import driftlog
from edgeform_device.receipts import Fault
from edgeform_wire.errors import WireError
from edgeform_wire.finding import Finding, from_json

KEPT_COLUMNS = tuple(
    Column(title=t) for t in ("DEVICE", "FIRST", "LAST", "TIMES", "GEN", "KIND", "WHAT")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Where the findings go beside standard output."""

    textfile: Path | None
    webhooks: tuple[Webhook, ...]


def telling(file: Path | None, wanted: Sequence[str], resolver: Resolver) -> Telling:
    """The outputs that were asked for, proven before anything is looked at.

    Args:
        wanted: `slack=env/NAME` and the like.
    """
    if file is not None and file.suffix != ".prom":
        raise UsageError(
            "The textfile collector reads files that end in .prom only.", address=str(file)
        )
    hooks = []
    for text in wanted:
        form, mark, reference = text.partition("=")
        if not mark or form not in ("slack", "teams", "json"):
            raise UsageError(
                "A webhook is FORM=REFERENCE, where FORM is slack, teams or json.",
                hint="Its address is a secret, so name where it is:\n"
                "    --webhook slack=env/SLACK_WEBHOOK",
            )
        address = resolver.resolve(parse_reference(reference)).reveal().decode().strip()
        hooks.append(webhook(form, address))
    return Telling(textfile=file, webhooks=tuple(hooks))


def tell_others(outputs: Telling, site: str, found: Sequence[Compared]) -> None:
    """Send the messages, then write the metrics, which say how many were not taken.

    A webhook that fails is said and changes no exit code: what was found on devices matters more, and a code
    that hid it would be read by the very people whom the message did not reach.
    """
    untold = 0
    for hook in outputs.webhooks if is_news(found) else ():
        delivery: Delivery = deliver(hook, message(hook.form, site, found))
        if delivery.failure:
            untold += 1
            click.echo(
                f"webhook {hook.form} on {delivery.host}: {delivery.failure};"
                " nobody was told there, the findings stand",
                err=True,
            )
    if outputs.textfile is not None:
        text = textfile(site, found, finished_s=time.time(), untold=untold)
        _replace(outputs.textfile, text)


def _replace(file: Path, content: str) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_text(content)
        partial.chmod(0o644)  # another user's collector reads it
        partial.replace(file)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise UsageError(f"It cannot be written: {exc.strerror}.", address=str(file)) from exc


def sampled(names: Sequence[str], percent: int, day: date) -> frozenset[str]:
    """The devices whose turn it is: about `percent` of them, and every one within 100/percent days."""
    if percent <= 0:
        return frozenset()
    turns = max(1, round(100 / percent))
    return frozenset(
        name
        for name in names
        if (int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) + day.toordinal()) % turns
        == 0
    )


def recheck(
    roll: Roll, transport: Transport, found: Sequence[Compared], percent: int, day: date
) -> list[Compared]:
    """The findings with those of the checks, golden inputs among them, on the devices whose turn it is."""
    can = [one.device for one in found if one.generation and Word.UNKNOWN not in one.words]
    turn = sampled(can, percent, day)
    devices = tuple(device for device in roll.devices if device.name in turn)
    answers = {str(d.name): a for d, a in ask_each(roll.only(devices), transport, ask_checks())}
    return [_with_checks(one, answers.get(one.device)) for one in found]


def _with_checks(one: Compared, answer: Any) -> Compared:
    match answer:
        case None:
            return one
        case Missed():
            note = f"checks: {answer.reason}: {answer.detail}"
            return replace(one, words=_and(one.words, Word.UNKNOWN), notes=(*one.notes, note))
        case _:
            failed = tuple(
                DriftFound(
                    kind="check",
                    path=f"{check.pipeline}/{check.name}",
                    expected="pass",
                    actual=f"{check.verdict}: {check.detail}".rstrip(": "),
                )
                for check in answer
                if check.verdict == "fail"
            )
            if not failed:
                return one
            return replace(one, words=_and(one.words, Word.DRIFT), found=(*one.found, *failed))


def _and(words: tuple[Word, ...], more: Word) -> tuple[Word, ...]:
    kept = tuple(word for word in words if word not in (Word.CLEAN, more))
    return (more, *kept) if more is Word.DRIFT else (*kept, more)


def show_kept(roll: Roll, transport: Transport, output: str) -> list[int]:
    """What devices wrote down when they checked themselves; the exit codes that follow from it.

    A finding whose place in the chain or whose signature does not hold is said and not shown.
    """

    def ask(_device: Device, client: DeviceClient) -> tuple[Any, ...] | Refusal:
        answer = client.ask("drift", "--kept")
        return answer if isinstance(answer, Refusal) else tuple(answer.get("kept", ()))

    answers = ask_each(roll, transport, ask)
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    rows: list[tuple[str, ...]] = []
    for device, answer in answers:
        if isinstance(answer, Missed):
            continue
        kept, wrong = _proven_kept(roll, device.name, answer)
        codes += wrong
        for entry in kept:
            when = [shown(entry.first), shown(entry.last), str(entry.times)]
            what = [(shown(str(d.get("kind"))), shown(str(d.get("path")))) for d in entry.drift]
            rows += [
                (device.name, *when, str(entry.generation), kind, path)
                for kind, path in what or [("-", "as it was confirmed")]
            ]
            if output == "json":
                click.echo(line({"device": device.name, **entry.to_json()}))
        if kept and kept[-1].drift:
            codes.append(2)
    if output != "json":
        click.echo(table(KEPT_COLUMNS, rows), nl=False)
    return codes


def _proven_kept(roll: Roll, device: str, answer: Sequence[Any]) -> tuple[list[Finding], list[int]]:
    """A device's findings when all of them hold, else none of them and the exit codes of why."""
    try:
        kept = [from_json(value) for value in answer]
    except WireError as exc:
        click.echo(f"{device}: its findings are unreadable: {exc}", err=True)
        return [], [Corrupt.exit_code]
    key = pinned_key(roll.workspace, device)
    chained = driftlog.faults(kept, None)
    foreign = [
        Fault(number, f"it is of {one.finding.site}/{one.finding.device}")
        for number, one in enumerate(kept, 1)
        if (one.finding.site, one.finding.device) != (roll.site.name, device)
    ]
    forged = [f for f in driftlog.faults(kept, key) if f not in chained]
    for fault in (*chained, *foreign, *forged):
        click.echo(f"{device}: finding {fault.line}: {fault.reason}", err=True)
    codes = [Corrupt.exit_code] * bool(chained or foreign) + [NotTrusted.exit_code] * bool(forged)
    if kept and key is None:
        click.echo(f"{device}: no key is pinned, so signatures were not judged", err=True)
    return ([] if codes else [one.finding for one in kept]), codes
