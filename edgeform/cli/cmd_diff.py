"""`edgeform diff`: what changed between two generations of a device."""

from dataclasses import dataclass

import click

from edgeform.apply.generations import KeptGeneration, kept_generations
from edgeform.cli.asking import Missed, ask_each, call_the_roll, split_words, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.domain.names import short
from edgeform.errors import Corrupt, UsageError, worst_of
from edgeform.plan.changes import Change, Reason
from edgeform.plan.codec import value_json
from edgeform.plan.generations import Manifests
from edgeform.plan.words import words_for
from edgeform.report.json_lines import line
from edgeform_wire.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two generations of one device; `before` None means that there was nothing."""

    device: str
    before: KeptGeneration | None
    after: KeptGeneration
    changes: tuple[Change, ...]


@click.command("diff")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option(
    "--from", "from_", type=click.IntRange(1), metavar="N", help="Default: the one before --to."
)
@click.option("--to", type=click.IntRange(1), metavar="N", help="Default: the current one.")
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    from_: int | None,
    to: int | None,
    output: str,
) -> int:
    """Show what differs between two generations that devices keep: models, runtimes, pipelines.

    What `plan` would change is something else: this looks back.
    """
    site, named = split_words(words)
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, (*named, *selectors), listener)
        answers = ask_each(roll, transport, lambda _device, client: kept_generations(client))
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    manifests = Manifests()
    for device, answer in answers:
        if isinstance(answer, Missed):
            if output == "json":
                click.echo(line(answer.to_json()))
            continue
        pair = pick(device.name, answer, from_, to, manifests)
        if output == "json":
            click.echo(line(_json(pair)))
        else:
            _show(pair)
    return worst_of(codes)


def pick(
    device: str,
    kept: tuple[KeptGeneration, ...],
    from_: int | None,
    to: int | None,
    manifests: Manifests,
) -> Pair:
    """The two generations asked for, compared.

    Raises:
        UsageError: the device does not keep one of them. Corrupt: it keeps one that cannot be read.
    """
    by_number = {one.number: one for one in kept}
    running = next((k.number for k in kept if k.state in ("current", "committed")), None)
    last = to if to is not None else running
    if last is None:
        raise UsageError("It has no generation yet.", address=f"devices.{device}")
    earlier = [k.number for k in kept if k.number < last and k.state != "failed"]
    first = from_ if from_ is not None else max(earlier, default=None)
    for number in (first, last):
        if number is not None and number not in by_number:
            raise UsageError(
                f"It does not keep generation {number}.",
                address=f"devices.{device}",
                hint=f"It keeps {', '.join(map(str, by_number)) or 'none'}. See them with:\n"
                f"    edgeform generations {device}",
            )
    before, after = by_number.get(first or 0), by_number[last]
    changes = manifests.changes(
        device,
        None if before is None else _whole(device, before).encoded().decode(),
        _whole(device, after).encoded().decode(),
        reason_of=lambda _was, _now: Reason.SPEC_CHANGED,
    )
    return Pair(device=device, before=before, after=after, changes=changes)


def _whole(device: str, kept: KeptGeneration) -> Generation:
    if kept.manifest is None:
        raise Corrupt(
            f"The manifest of generation {kept.number} is damaged on the device.",
            address=f"devices.{device}",
            hint=f"See which ones are whole:\n    edgeform generations {device}",
        )
    return kept.manifest


def _show(pair: Pair) -> None:
    before = "nothing" if pair.before is None else _name(pair.before)
    click.echo(f"{pair.device}: {before} -> {_name(pair.after)}")
    if not pair.changes:
        click.echo("  no difference")
    for change in pair.changes:
        words = words_for(change)
        click.echo(f"  {words.symbol} {words.noun} {words.name}  {words.text}".rstrip())
        for detail in words.details:
            click.echo(f"      {detail}")


def _name(kept: KeptGeneration) -> str:
    return f"generation {kept.number} ({short(kept.digest)}, {kept.state})"


def _json(pair: Pair) -> dict[str, object]:
    return {
        "device": pair.device,
        "answered": True,
        "from": None if pair.before is None else pair.before.number,
        "to": pair.after.number,
        "changes": [
            {"symbol": str(w.symbol), "noun": w.noun, "name": w.name, "text": w.text}
            | {"change": value_json(change)}
            for change in pair.changes
            for w in (words_for(change),)
        ],
    }
