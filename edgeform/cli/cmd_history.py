"""`edgeform history`: what happened to devices, from receipts and commits; asks no device."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from edgeform.cli.asking import call_the_roll, split_words
from edgeform.cli.histories import Known, known, moments, site_commits
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import find_workspace
from edgeform.domain.names import short
from edgeform.errors import Corrupt
from edgeform.report.fleet import Moment, RunRow
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table

COLUMNS = (
    Column(title="WHEN"),
    Column(title="DEVICE"),
    Column(title="RESULT"),
    Column(title="GEN"),
    Column(title="DIGEST"),
    Column(title="ROAD"),
    Column(title="COMMIT"),
    Column(title="AUTHOR"),
    Column(title="WHAT"),
)
RUN_COLUMNS = (
    Column(title="RUN", right=True),
    Column(title="WHO"),
    Column(title="STARTED"),
    Column(title="FINISHED"),
    Column(title="EXIT", right=True),
    Column(title="DEVICES"),
)


@click.command("history")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option("--runs", is_flag=True, help="Applies from this machine, instead of receipts.")
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="Newest shown."
)
@output_option("text", "json")
def command(
    words: tuple[str, ...], selectors: tuple[str, ...], runs: bool, lines: int, output: str
) -> int:
    """Tell what happened to devices: generations, results, and the site's commit before each.

    It reads the journal of this machine and records/ in Git, and asks no device. With -o json one object a
    line, for other programs (docs/reference/records.md). Exit 12 where the two tell another story.
    """
    site, named = split_words(words)
    workspace = find_workspace(site)
    with talk() as listener:
        roll = call_the_roll(str(workspace.site_dir), (*named, *selectors), listener)
    found = known(workspace, roll.site.name, roll.devices, runs=lines)
    if runs:
        _show_runs(found.runs, output)
        return 0
    commits = site_commits(workspace)
    told = [m for chain in found.chains.values() for m in moments(chain.receipts, commits)]
    told.sort(key=lambda m: (m.time, m.device), reverse=True)
    _show(told[:lines], output)
    return _parted(found)


def _show(told: Sequence[Moment], output: str) -> None:
    if output == "json":
        for moment in told:
            click.echo(line({"schema": "edgeform.history/1", **asdict(moment)}))
        return
    rows = [
        (
            moment.time,
            moment.device,
            moment.result,
            f"{moment.from_generation}>{moment.to_generation}",
            short(moment.digest),
            moment.road,
            moment.commit.digest[:10] if moment.commit else "-",
            moment.commit.author if moment.commit else "-",
            moment.reason or (moment.commit.subject if moment.commit else ""),
        )
        for moment in told
    ]
    click.echo(table(COLUMNS, rows), nl=False)


def _show_runs(runs: Sequence[RunRow], output: str) -> None:
    if output == "json":
        for run in runs:
            counts = dict(run.counts)
            click.echo(line({"schema": "edgeform.run/1", **asdict(run), "counts": counts}))
        return
    rows = [
        (
            str(run.number),
            run.who,
            run.started,
            run.finished or "-",
            "-" if run.exit_code is None else str(run.exit_code),
            ", ".join(f"{count} {state}" for state, count in run.counts),
        )
        for run in runs
    ]
    click.echo(table(RUN_COLUMNS, rows), nl=False)


def _parted(found: Known) -> int:
    parted = {name: chain.parted for name, chain in found.chains.items() if chain.parted}
    for name, where in parted.items():
        if where is not None:
            click.echo(f"records/{name}.jsonl, line {where.line}: {where.detail}", err=True)
    return Corrupt.exit_code if parted else 0
