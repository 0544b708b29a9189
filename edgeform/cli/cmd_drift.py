"""`edgeform drift`: what moved on devices since they confirmed what they run."""

from collections.abc import Mapping
from dataclasses import asdict

import click

from edgeform.cli.asking import call_the_roll, split_words
from edgeform.cli.fleet import observe
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.planning import look_and_plan, want
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.domain.names import short
from edgeform.domain.observed import Observation
from edgeform.drift.compare import Compared, Word, compare
from edgeform.errors import CHANGES_PRESENT, Incomplete, NeedsHands, worst_of
from edgeform.events import Listener
from edgeform.plan import DevicePlan
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.transport.base import Transport
from edgeform_wire import receipt
from edgeform_wire.errors import WireError

COLUMNS = (
    Column(title="DEVICE"),
    Column(title="STATE"),
    Column(title="GEN", right=True),
    Column(title="KIND"),
    Column(title="WHAT"),
    Column(title="DETAIL"),
)


@click.command("drift")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option(
    "--verify",
    type=click.Choice(["none", "sample", "full"]),
    default="full",
    show_default=True,
    help="How thoroughly devices hash their files; none looks at links, configuration and services.",
)
@output_option("text", "json")
def command(words: tuple[str, ...], selectors: tuple[str, ...], verify: str, output: str) -> int:
    """Compare each device with the generation it confirmed last; nothing is put right by looking.

    drift: the device is no longer what it confirmed (exit 2). pending: it is, and an apply waits for it.
    unknown: it could not be looked at (exit 9), which is never taken for clean. held: what is wanted
    failed there before.
    """
    site, named = split_words(words)
    workspace = find_workspace(site)
    chosen = (*named, *selectors)
    with talk() as listener, open_fleet() as transport:
        observations, planned, name = _look(workspace, transport, chosen, listener, verify)
    remembered = _remembered(workspace, name, observations)
    found = [
        compare(seen, planned.get(device), remembered.get(device))
        for device, seen in observations.items()
    ]
    if output == "json":
        for one in found:
            click.echo(line(_json(one)))
    else:
        click.echo(table(COLUMNS, [row for one in found for row in _rows(one)]), nl=False)
    return worst_of(code for one in found for code in _codes(one))


def _look(
    workspace: Workspace,
    transport: Transport,
    selectors: tuple[str, ...],
    listener: Listener,
    verify: str,
) -> tuple[Mapping[str, Observation], Mapping[str, DevicePlan], str]:
    """Observations, what a plan would do, and the site's name; no lock, no plan."""
    if not workspace.lock_file.exists():
        click.echo("no lock: what is pending cannot be said. Make one: edgeform lock", err=True)
        roll = call_the_roll(str(workspace.site_dir), selectors, listener)
        seen = observe(transport, roll.devices, roll.targets, listener, verify=verify)
        return seen, {}, roll.site.name
    wanted = want(workspace, listener)
    looked = look_and_plan(wanted, transport, selectors, listener, verify=verify)
    planned = {device.device: device for device in looked.plan.devices}
    return looked.observations, planned, wanted.site.name


def _remembered(
    workspace: Workspace, site: str, observations: Mapping[str, Observation]
) -> dict[str, str]:
    """The digest that each device's newest archived receipt confirms, if no newer receipt waits there."""
    if not (workspace.state_dir / "journal.db").exists():
        return {}
    found = {}
    with workspace.journal() as journal:
        for device, seen in observations.items():
            lines = journal.receipts(site, device)
            newest = getattr(seen, "last_receipt", 0)
            if not lines or newest != journal.last_receipt(site, device):
                continue
            for entry in reversed(lines):
                try:
                    decoded = receipt.decode_line(entry).receipt
                except WireError:
                    break
                if decoded.result == "committed":
                    found[device] = decoded.digest
                    break
    return found


def _codes(one: Compared) -> list[int]:
    codes = {Word.DRIFT: CHANGES_PRESENT, Word.UNKNOWN: Incomplete.exit_code}
    found = [codes.get(word, 0) for word in one.words]
    return [*found, NeedsHands.exit_code] if one.needs_hands else found


def _rows(one: Compared) -> list[tuple[str, ...]]:
    states = "+".join(one.words)
    generation = str(one.generation or "-")
    rows: list[tuple[str, ...]] = [
        (
            one.device,
            states,
            generation,
            d.kind,
            d.path,
            f"{_value(d.expected)} is {_value(d.actual)}",
        )
        for d in one.found
    ]
    rows += [(one.device, states, generation, "-", "-", note) for note in one.notes]
    return rows or [(one.device, states, generation, "-", "-", "")]


def _value(text: str) -> str:
    return short(text) if text.startswith("sha256:") else text


def _json(one: Compared) -> dict[str, object]:
    return {
        "device": one.device,
        "words": [str(word) for word in one.words],
        "generation": one.generation,
        "found": [asdict(d) for d in one.found],
        "notes": list(one.notes),
        "needs_hands": one.needs_hands,
    }
