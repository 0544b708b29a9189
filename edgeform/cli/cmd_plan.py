"""`edgeform plan`: what would change on each device, and nothing is changed by looking."""

import json
import os
import shutil
from pathlib import Path

import click

from edgeform.cli.fleet import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.planning import look_and_plan, want
from edgeform.cli.talking import paints, talk
from edgeform.cli.workspace import find_workspace
from edgeform.diagnostics import rendered
from edgeform.emit.surroundings import page_of_run
from edgeform.errors import CHANGES_PRESENT, UsageError, worst_of
from edgeform.plan import Plan, decode, device_json, encode, render
from edgeform.report.documents import PLAN_DOCUMENTS, plan_document
from edgeform.report.paint import paint


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
        plan = read_plan(Path(words[1]))
    else:
        if len(words) > 1:
            raise UsageError(f"One site at a time, not {len(words)}.")
        plan = _made(words[0] if words else None, selectors)
        if out is not None:
            write_plan(plan, out)
    if output in PLAN_DOCUMENTS:
        _document(plan, output, words, out)
    else:
        show(plan, output=output, expand=expand)
    if out is not None and output == "text":
        click.echo(f"\nSaved. Apply exactly this:\n    edgeform apply {out}", err=True)
    return plan_exit_code(plan, changes_count=detailed_exitcode)


def _made(site: str | None, selectors: tuple[str, ...]) -> Plan:
    workspace = find_workspace(site)
    with talk() as listener, open_fleet() as transport:
        wanted = want(workspace, listener)
        for warning in wanted.warnings:
            click.echo(rendered(warning), err=True)
        return look_and_plan(wanted, transport, selectors, listener).plan


def _document(plan: Plan, form: str, words: tuple[str, ...], out: Path | None) -> None:
    """The plan as a file for a code host; a saved plan points at the current folder's site."""
    shown = words[:1] == ("show",)
    site = Path() if shown else find_workspace(words[0] if words else None).site_dir
    whole = (site / "site.yaml").as_posix()
    rest = page_of_run(os.environ) or f"edgeform plan show {out or 'plan.json'}"
    click.echo(plan_document(plan, form, whole=whole, rest=rest), nl=False)


def show(plan: Plan, *, output: str, expand: bool) -> None:
    """The plan on standard output."""
    if output == "json":
        for device in plan.devices:
            click.echo(json.dumps(device_json(device), sort_keys=True))
        return
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    click.echo(paint(render(plan, width=width, expand=expand), colour=paints()))


def plan_exit_code(plan: Plan, *, changes_count: bool) -> int:
    codes = plan.exit_codes
    return worst_of(codes if changes_count else codes - {CHANGES_PRESENT})


def read_plan(file: Path) -> Plan:
    """A saved plan.

    Raises:
        UsageError: no such file. Corrupt, Stale: not a plan this edgeform reads.
    """
    try:
        return decode(file.read_bytes())
    except OSError as exc:
        raise UsageError(f"The plan cannot be read: {exc.strerror}.", address=str(file)) from exc


def write_plan(plan: Plan, file: Path) -> None:
    """Save a plan, readable by its owner alone: it names hosts and versions."""
    partial = file.with_name(file.name + ".tmp")
    try:
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as stream:
            stream.write(encode(plan))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as exc:
        raise UsageError(f"The plan cannot be written: {exc.strerror}.", address=str(file)) from exc
