"""A plan on standard output and in a file, for the verbs that show, save and carry out plans."""

import json
import os
import shutil
from pathlib import Path

import click

from edgeform.cli.talking import paints
from edgeform.cli.workspace import find_workspace
from edgeform.emit.surroundings import page_of_run
from edgeform.errors import CHANGES_PRESENT, UsageError, worst_of
from edgeform.plan import Plan, decode, device_json, encode, render
from edgeform.plan.planfile import MAX_BYTES
from edgeform.report.documents import plan_document
from edgeform.report.paint import paint


def show(plan: Plan, *, output: str, expand: bool) -> None:
    """The plan on standard output."""
    if output == "json":
        for device in plan.devices:
            click.echo(json.dumps(device_json(device), sort_keys=True))
        return
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    click.echo(paint(render(plan, width=width, expand=expand), colour=paints()))


def show_document(plan: Plan, form: str, words: tuple[str, ...], out: Path | None) -> None:
    """The plan as a file for a code host; a saved plan points at the current folder's site."""
    shown = words[:1] == ("show",)
    site = Path() if shown else find_workspace(words[0] if words else None).site_dir
    whole = (site / "site.yaml").as_posix()
    rest = page_of_run(os.environ) or f"edgeform plan show {out or 'plan.json'}"
    click.echo(plan_document(plan, form, whole=whole, rest=rest), nl=False)


def plan_exit_code(plan: Plan, *, changes_count: bool) -> int:
    codes = plan.exit_codes
    return worst_of(codes if changes_count else codes - {CHANGES_PRESENT})


def read_plan(file: Path) -> Plan:
    """A saved plan.

    Raises:
        UsageError: no such file. Corrupt, Stale: not a plan this edgeform reads.
    """
    try:
        with file.open("rb") as stream:
            return decode(stream.read(MAX_BYTES + 1))
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
