"""`edgeform status`: what each device runs now, and whether it is well."""

import click

from edgeform.cli.asking import call_the_roll, split_words
from edgeform.cli.fleet import observe
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.domain.observed import Observed, Unobserved
from edgeform.errors import Incomplete, NeedsHands, worst_of
from edgeform.report.json_lines import line, observation_json
from edgeform.report.tables import status_table


@click.command("status")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@output_option("text", "json")
def command(words: tuple[str, ...], selectors: tuple[str, ...], output: str) -> int:
    """Show what each device runs, its pipelines' health, and a transaction that is under way.

    Each device is asked once and nothing is changed. Exit 9 if one did not answer, 20 if one needs hands.
    """
    site, named = split_words(words)
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, (*named, *selectors), listener)
        seen = observe(transport, roll.devices, roll.targets, listener)
    if output == "json":
        for observation in seen.values():
            click.echo(line(observation_json(observation)))
    else:
        click.echo(status_table(seen.values()), nl=False)
    for observation in seen.values():
        if isinstance(observation, Unobserved) and observation.hint:
            click.echo(f"{observation.device}: {observation.hint}", err=True)
    return worst_of(
        NeedsHands.exit_code
        if isinstance(o, Observed) and o.needs_hands
        else Incomplete.exit_code
        if isinstance(o, Unobserved)
        else 0
        for o in seen.values()
    )
