"""`edgeform report`: a fleet as one static page that opens without network or script."""

from pathlib import Path

import click

from edgeform.cli.asking import call_the_roll, split_words
from edgeform.cli.drift_looking import looked
from edgeform.cli.fleet_report import fleet_of
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import find_workspace
from edgeform.domain.observed import Observation
from edgeform.drift.compare import Compared
from edgeform.errors import UsageError
from edgeform.lock.lockfile import read as read_lock
from edgeform.report.fleet_page import fleet_page


@click.command("report")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option("--offline", is_flag=True, help="Ask no device; show what is archived here.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it here.")
@output_option("html")
def command(
    words: tuple[str, ...], selectors: tuple[str, ...], offline: bool, out: Path | None, output: str
) -> int:
    """Show a fleet on one page: devices, what needs somebody, generations, rollouts, receipts, topology.

    Each device is looked at once, and nothing is changed. The page is a file by itself.
    """
    del output
    site_words, named = split_words(words)
    workspace = find_workspace(site_words)
    chosen = (*named, *selectors)
    seen: dict[str, Observation] = {}
    compared: dict[str, Compared] = {}
    with talk() as listener:
        if not offline:
            with open_fleet() as transport:
                seen, compared = looked(workspace, transport, chosen, listener)
        roll = call_the_roll(str(workspace.site_dir), chosen, listener)
    lock = read_lock(workspace.lock_file).lock if workspace.lock_file.exists() else None
    fleet = fleet_of(workspace, roll.site, roll.devices, lock, seen=seen, compared=compared)
    text = fleet_page(fleet)
    if out is None:
        click.echo(text, nl=False)
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"It cannot be written: {exc.strerror}.", address=str(out)) from exc
    click.echo(out)
    return 0
