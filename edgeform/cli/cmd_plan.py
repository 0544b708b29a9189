"""`edgeform plan`: what would change on each device, and nothing is changed by looking."""

# ruff: noqa: PLC0415 - a worker takes longer to start than all this to import: it is started first

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeform.cli.opening import open_fleet
from edgeform.cli.options import PLAN_DOCUMENTS, output_option, select_option
from edgeform.errors import UsageError

if TYPE_CHECKING:
    from edgeform.plan import Plan


@click.command("plan")
@click.argument("words", nargs=-1, metavar="[SITE] | show FILE")
@select_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan here.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes.")
@click.option("--expand", is_flag=True, help="Show every device, not one per identical diff.")
@output_option("text", "json", *PLAN_DOCUMENTS)
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    out: Path | None,
    detailed_exitcode: bool,
    expand: bool,
    output: str,
) -> int:
    """Show what would change on each device, and why, at what cost, and how it is undone.

    Each device is looked at once, by one command; nothing is installed by looking. `plan show FILE`
    shows a saved plan, also one that is out of date.
    """
    if words[:1] == ("show",):
        if len(words) != 2:
            raise UsageError("Name one saved plan:\n    edgeform plan show plan.json")
        plan = _read(Path(words[1]))
    else:
        if len(words) > 1:
            raise UsageError(f"One site at a time, not {len(words)}.")
        plan = _made(words[0] if words else None, selectors)
        if out is not None:
            _write(plan, out)
    from edgeform.cli.plan_shown import plan_exit_code, show, show_document

    if output in PLAN_DOCUMENTS:
        show_document(plan, output, words, out)
    else:
        show(plan, output=output, expand=expand)
    if out is not None and output == "text":
        click.echo(f"\nSaved. Apply exactly this:\n    edgeform apply {out}", err=True)
    return plan_exit_code(plan, changes_count=detailed_exitcode)


def _write(plan: "Plan", file: Path) -> None:
    from edgeform.cli.plan_shown import write_plan

    write_plan(plan, file)


def _read(file: Path) -> "Plan":
    from edgeform.cli.plan_shown import read_plan

    return read_plan(file)


def _made(site: str | None, selectors: tuple[str, ...]) -> "Plan":
    from edgeform.cli.workspace import find_workspace

    workspace = find_workspace(site)
    with open_fleet() as transport:
        from edgeform.cli.planning import look_and_plan, want
        from edgeform.cli.talking import talk
        from edgeform.diagnostics import rendered

        with talk() as listener:
            wanted = want(workspace, listener)
            for warning in wanted.warnings:
                click.echo(rendered(warning), err=True)
            return look_and_plan(wanted, transport, selectors, listener).plan
