"""`edgeform rollback`: selected devices return to a generation they keep."""

import time

import click

from edgeform.apply.generations import KeptGeneration, kept_generations
from edgeform.apply.outcome import Outcome, Unchanged, exit_code, sentence, word
from edgeform.apply.returning import Return, turn_back
from edgeform.cli.asking import (
    Missed,
    Roll,
    ask_each,
    call_the_roll,
    confirm,
    split_words,
    tell,
)
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option, yes_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import stamp, who
from edgeform.domain.names import short
from edgeform.domain.site import Device
from edgeform.errors import UsageError, worst_of
from edgeform.events import Listener
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.rollout.run import Stop, drive
from edgeform.transport.base import Transport

MARGIN_S = 120.0
NO_PLAN = "rollback"
"""What the journal has in place of a plan's digest."""
COLUMNS = tuple(Column(title=title) for title in ("DEVICE", "OUTCOME", "WHAT"))


@click.command("rollback")
@click.argument("words", nargs=-1, metavar="[SITE] DEVICE...")
@select_option
@click.option("--to", type=click.IntRange(1), metavar="N", help="Default: the one before.")
@yes_option
@output_option("text", "json")
def command(
    words: tuple[str, ...], selectors: tuple[str, ...], to: int | None, yes: bool, output: str
) -> int:
    """Return devices to a generation that proved itself there before; asks first.

    It is a transaction like any other: what is returned to must pass its checks, or the device stays. The
    spec still asks for the newer one: `plan` will say so until the spec is changed, too.
    """
    site, named = split_words(words)
    chosen = (*named, *selectors)
    if not chosen:
        raise UsageError("Name the devices:\n    edgeform rollback DEVICE")
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, chosen, listener)
        answers = ask_each(roll, transport, lambda _device, client: kept_generations(client))
        codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
        wishes: dict[str, Return] = {}
        for device, answer in answers:
            if not isinstance(answer, Missed):
                wait_s = device.deadline_s + device.confirm_s + device.soak_s + MARGIN_S
                wishes[device.name] = _wish(device.name, answer, to, wait_s)
        if not wishes:
            return worst_of(codes)
        confirm(
            f"Return {len(wishes)} device(s)?",
            yes=yes,
            would=f"{len(wishes)} device(s) would return to an older generation",
            command=f"edgeform rollback {' '.join(wishes)} --yes",
        )
        outcomes = _run(roll, transport, listener, wishes)
    for outcome in outcomes:
        if output == "json":
            value = {"device": outcome.device, "outcome": word(outcome)}
            click.echo(line(value | {"detail": sentence(outcome)}))
    if output != "json":
        rows = [(o.device, word(o), sentence(o)) for o in outcomes]
        click.echo(table(COLUMNS, rows), nl=False)
    for hint in sorted({h for o in outcomes if (h := getattr(o, "hint", ""))}):
        click.echo(hint, err=True)
    return worst_of((*codes, *map(exit_code, outcomes)))


def _wish(device: str, kept: tuple[KeptGeneration, ...], to: int | None, wait_s: float) -> Return:
    """From where to where; said on standard error before anybody is asked.

    Raises:
        UsageError: the device cannot go there; nothing has been asked of any device then.
    """
    now = next((k for k in kept if k.state in ("current", "committed")), None)
    if now is None:
        raise UsageError("It never committed a generation.", address=f"devices.{device}")
    returnable = [k for k in kept if k.returnable]
    wanted = to or max((k.number for k in returnable if k.number < now.number), default=None)
    target = next((k for k in (*returnable, now) if k.number == wanted), None)
    if target is None:
        there = ", ".join(str(k.number) for k in returnable) or "none"
        raise UsageError(
            "No earlier generation is kept."
            if wanted is None
            else f"It cannot return to generation {wanted}.",
            address=f"devices.{device}",
            hint=f"It has {now.number} and could return to: {there}\n    edgeform generations {device}",
        )
    click.echo(
        f"{device}: generation {now.number} ({short(now.digest)})"
        f" -> {target.number} ({short(target.digest)})",
        err=True,
    )
    return Return(
        device=device,
        from_generation=now.number,
        to_generation=target.number,
        who=who(),
        wait_s=wait_s,
    )


def _run(
    roll: Roll, transport: Transport, listener: Listener, wishes: dict[str, Return]
) -> tuple[Outcome, ...]:
    devices: dict[str, Device] = {d.name: d for d in roll.devices}
    with roll.workspace.journal() as journal:
        run = journal.begin(plan_digest=NO_PLAN, who=who(), now=stamp(), devices=wishes)

        def turn(name: str) -> Outcome:
            journal.touched(run, name, transaction=None, now=stamp())
            client = roll.client(transport, devices[name])
            return turn_back(
                wishes[name], client, listener, monotonic=time.monotonic, sleep=time.sleep
            )

        def ended(outcome: Outcome) -> None:
            journal.ended(run, outcome, now=stamp())

        done = drive(
            tuple(wishes),
            turn,
            max_parallel=roll.site.rollout.max_parallel,
            stop=Stop(),
            ended=ended,
        )
        codes = [exit_code(o) for o in done.outcomes if not isinstance(o, Unchanged)]
        journal.finish(run, exit_code=worst_of(codes), now=stamp())
    return tuple(sorted(done.outcomes, key=lambda o: o.device))
