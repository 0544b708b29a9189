"""`edgeform generations`: what each device keeps and could return to."""

import click

from edgeform.apply.generations import KeptGeneration, kept_generations
from edgeform.cli.asking import Missed, ask_each, call_the_roll, split_words, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.errors import worst_of
from edgeform.report.json_lines import line
from edgeform.report.tables import GenerationRow, generations_table


@click.command("generations")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@output_option("text", "json")
def command(words: tuple[str, ...], selectors: tuple[str, ...], output: str) -> int:
    """List the generations that devices keep, and which one is current.

    A device keeps as many as its site says, and the newest that failed, as evidence.
    """
    site, named = split_words(words)
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, (*named, *selectors), listener)
        answers = ask_each(roll, transport, lambda _device, client: kept_generations(client))
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    for device, answer in answers:
        if isinstance(answer, Missed):
            if output == "json":
                click.echo(line(answer.to_json()))
            continue
        if output == "json":
            for one in answer:
                click.echo(line(_json(device.name, one)))
            continue
        if len(answers) > 1:
            click.echo(f"{device.name}:")
        click.echo(generations_table(_row(one) for one in answer), nl=False)
    return worst_of(codes)


def _row(kept: KeptGeneration) -> GenerationRow:
    return GenerationRow(
        number=kept.number,
        digest=kept.digest,
        state=kept.state,
        deployment=kept.deployment,
        road=kept.road,
        wall_time=kept.wall_time,
    )


def _json(device: str, kept: KeptGeneration) -> dict[str, object]:
    return {
        "device": device,
        "answered": True,
        "number": kept.number,
        "state": kept.state,
        "digest": kept.digest or None,
        "deployment": kept.deployment,
        "road": kept.road,
        "wall_time": kept.wall_time,
        "manifest": None if kept.manifest is None else kept.manifest.to_json(),
    }
