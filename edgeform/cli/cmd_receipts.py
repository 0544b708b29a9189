"""`edgeform receipts`: what devices reported, proven against the chain and the key pinned at enrolment."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from edgeform.apply.device import DeviceClient, Refusal
from edgeform.cli.asking import Missed, Roll, ask_each, call_the_roll, split_words, tell
from edgeform.cli.device_keys import pinned_key
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace, stamp
from edgeform.domain.site import Device
from edgeform.errors import Corrupt, NotTrusted, worst_of
from edgeform.report.json_lines import line
from edgeform.report.tables import receipts_table
from edgeform.rollout.journal import Journal
from edgeform_device.receipts import Fault, faults
from edgeform_wire.receipt import SignedReceipt, decode_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A device's archived chain, and what is wrong with it.

    Args:
        breaks: where the chain does not hold. forgeries: signatures that are not the device's.
        is_pinned: whether the device's key is known, so that signatures were judged at all.
    """

    lines: tuple[bytes, ...]
    breaks: tuple[Fault, ...]
    forgeries: tuple[Fault, ...]
    is_pinned: bool
    rewritten: str = ""

    @property
    def codes(self) -> list[int]:
        broken = bool(self.breaks or self.rewritten)
        return [Corrupt.exit_code] * broken + [NotTrusted.exit_code] * bool(self.forgeries)


@click.command("receipts")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option("--offline", is_flag=True, help="Ask no device; prove what is archived here.")
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=20, show_default=True, help="Newest shown."
)
@click.option("--export", is_flag=True, help="Write records/DEVICE.jsonl of the site, for Git.")
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    offline: bool,
    lines: int,
    export: bool,
    output: str,
) -> int:
    """Fetch the receipts written since last time, prove the whole chain, and show the newest.

    Exit 12 if a chain is broken or a device tells another history than before, 8 if a signature is not
    the device's.
    """
    site, named = split_words(words)
    codes: list[int] = []
    with talk() as listener:
        roll = call_the_roll(site, (*named, *selectors), listener)
        with roll.workspace.journal() as journal:
            rewritten: dict[str, str] = {}
            if not offline:
                codes += _fetch(roll, journal, rewritten)
            for device in roll.devices:
                archived = journal.receipts(roll.site.name, device.name)
                proven = prove(archived, pinned_key(roll.workspace, device.name))
                if device.name in rewritten:
                    proven = _with(proven, rewritten[device.name])
                codes += proven.codes
                _show(device, proven, lines, output, is_alone=len(roll.devices) == 1)
                if export and archived:
                    _export(roll.workspace, device.name, archived)
    return worst_of(codes)


def prove(archived: Sequence[bytes], key: str | None) -> Proven:
    """Judge a chain from its first line on."""
    found = [entry.rstrip(b"\n") for entry in archived]
    breaks = faults(found, None)
    known = set(breaks)
    judged = () if key is None else faults(found, key)
    return Proven(
        lines=tuple(found),
        breaks=breaks,
        forgeries=tuple(fault for fault in judged if fault not in known),
        is_pinned=key is not None,
    )


def _with(proven: Proven, rewritten: str) -> Proven:
    return Proven(
        lines=proven.lines,
        breaks=proven.breaks,
        forgeries=proven.forgeries,
        is_pinned=proven.is_pinned,
        rewritten=rewritten,
    )


def _fetch(roll: Roll, journal: Journal, rewritten: dict[str, str]) -> list[int]:
    """Archive what is new. The newest known receipt is asked for again: it must still be the same."""
    site = roll.site.name

    def since(device: Device, client: DeviceClient) -> tuple[SignedReceipt, ...] | Refusal:
        return client.receipts(max(0, last[device.name] - 1))

    last = {d.name: journal.last_receipt(site, d.name) for d in roll.devices}
    with open_fleet() as transport:
        answers = ask_each(roll, transport, since)
    for device, answer in answers:
        if isinstance(answer, Missed):
            continue
        if said := _other_history(last[device.name], journal.receipts(site, device.name), answer):
            rewritten[device.name] = said
            continue
        journal.keep_receipts(site, device.name, answer, now=stamp())
    return tell(answer for _, answer in answers if isinstance(answer, Missed))


def _other_history(last: int, archived: Sequence[bytes], answer: tuple[SignedReceipt, ...]) -> str:
    """Why what the device tells now cannot follow what it told before; empty if it does."""
    if not last:
        return ""
    if not answer:
        return f"it no longer has receipt {last}, which it reported before"
    if answer[0].encoded_line() != archived[-1]:
        return f"its receipt {last} is not the one that it reported before"
    return ""


def _show(device: Device, proven: Proven, count: int, output: str, *, is_alone: bool) -> None:
    newest = [_decoded(entry) for entry in proven.lines[-count:]]
    whole = [signed for signed in newest if signed is not None]
    if output == "json":
        for signed in whole:
            click.echo(line({"device": device.name, **signed.receipt.to_json()}))
    else:
        if not is_alone:
            click.echo(f"{device.name}:")
        click.echo(receipts_table(whole), nl=False)
    for fault in (*proven.breaks, *proven.forgeries):
        click.echo(f"{device.name}: receipt line {fault.line}: {fault.reason}", err=True)
    if proven.rewritten:
        click.echo(f"{device.name}: {proven.rewritten}; what is archived here was kept", err=True)
    if proven.lines and not proven.is_pinned:
        click.echo(
            f"{device.name}: no key is pinned, so signatures were not judged. Pin it:\n"
            f"    edgeform enroll -l {device.name}",
            err=True,
        )
    elif proven.lines and not proven.codes:
        click.echo(f"{device.name}: {len(proven.lines)} receipts, an unbroken chain", err=True)


def _decoded(entry: bytes) -> SignedReceipt | None:
    try:
        return decode_line(entry)
    except ValueError:
        return None


def _export(workspace: Workspace, device: str, archived: Sequence[bytes]) -> None:
    workspace.records_dir.mkdir(exist_ok=True)
    file = workspace.records_dir / f"{device}.jsonl"
    partial = file.with_name(file.name + ".tmp")
    partial.write_bytes(b"".join(entry.rstrip(b"\n") + b"\n" for entry in archived))
    partial.replace(file)
    click.echo(f"wrote {file}", err=True)
