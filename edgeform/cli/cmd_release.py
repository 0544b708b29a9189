"""`edgeform release`: what a device holds, and letting it try one of them again."""

import re
from dataclasses import asdict

import click

from edgeform.apply.quarantine import HeldDigest, held_digests, release
from edgeform.cli.asking import Missed, Roll, ask_each, call_the_roll, missed, split_words, tell
from edgeform.cli.fleet import open_fleet
from edgeform.cli.options import output_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import stamp, who
from edgeform.domain.names import short
from edgeform.domain.site import Device
from edgeform.errors import UsageError, worst_of
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.transport.base import Transport

NO_PLAN = "release"
"""What the journal has in place of a plan's digest."""
SHORTEST = 6
COLUMNS = (
    Column(title="DIGEST"),
    Column(title="GEN", right=True),
    Column(title="SINCE"),
    Column(title="FAILED OF"),
)


@click.command("release")
@click.argument("words", nargs=-1, metavar="[SITE] DEVICE [DIGEST]")
@output_option("text", "json")
def command(words: tuple[str, ...], output: str) -> int:
    """List what a device holds because it failed there, or release one DIGEST of it.

    For what failed of something outside: a taken port, a full disk, an absent camera. Nothing happens by
    releasing; the next `apply` tries it again, with every check. The first digits of a digest are enough.
    """
    site, rest = split_words(words)
    if len(rest) not in (1, 2):
        raise UsageError("Name one device:\n    edgeform release DEVICE")
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, rest[:1], listener)
        answers = ask_each(roll, transport, lambda _device, client: held_digests(client))
        codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
        found = [(device, a) for device, a in answers if not isinstance(a, Missed)]
        if len(rest) == 1 or not found:
            for device, held in found:
                _show(device.name, held, output, is_alone=len(roll.devices) == 1)
            return worst_of(codes)
        if len(roll.devices) > 1:
            raise UsageError(
                f"{rest[0]!r} selects {len(roll.devices)} devices; release one at a time."
            )
        device, held = found[0]
        one = _chosen(device.name, held, rest[1])
        codes += _release(roll, transport, device, one)
    if output == "json" and not codes:
        click.echo(line({"device": device.name, "released": one.digest}))
    return worst_of(codes)


def _show(device: str, held: tuple[HeldDigest, ...], output: str, *, is_alone: bool) -> None:
    if output == "json":
        for one in held:
            click.echo(line({"device": device, **asdict(one)}))
        return
    if not is_alone:
        click.echo(f"{device}:")
    rows = [(short(h.digest), str(h.generation or "-"), h.when, h.reason) for h in held]
    click.echo(table(COLUMNS, rows), nl=False)


def _chosen(device: str, held: tuple[HeldDigest, ...], wanted: str) -> HeldDigest:
    """The one held digest that begins so.

    Raises:
        UsageError: none does, or several do, or it is no beginning of a digest.
    """
    digits = wanted.removeprefix("sha256:")
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", digits):
        raise UsageError(
            f"{wanted!r:.80} is no beginning of a digest.",
            hint=f"At least {SHORTEST} digits of one of these:\n    edgeform release {device}",
        )
    found = [h for h in held if h.digest.removeprefix("sha256:").startswith(digits)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(short(h.digest) for h in held) or "nothing"
    raise UsageError(
        f"{len(found) or 'None'} of what it holds begins with {digits}.",
        address=f"devices.{device}",
        hint=f"It holds: {there}",
    )


def _release(roll: Roll, transport: Transport, device: Device, one: HeldDigest) -> list[int]:
    with roll.workspace.journal() as journal:
        run = journal.begin(plan_digest=NO_PLAN, who=who(), now=stamp(), devices=[device.name])
        refusal = release(roll.client(transport, device), one.digest, who())
        codes = [] if refusal is None else tell([missed(device.name, refusal)])
        state = "released" if refusal is None else "refused"
        journal.noted(run, device.name, state, f"{one.digest}: {one.reason}", now=stamp())
        journal.finish(run, exit_code=worst_of(codes), now=stamp())
    if refusal is None:
        click.echo(
            f"{device.name}: released {short(one.digest)}; the next apply tries it again", err=True
        )
    return codes
