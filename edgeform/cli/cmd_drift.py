"""`edgeform drift`: what moved on devices since they confirmed what they run."""

from dataclasses import asdict
from pathlib import Path

import click

from edgeform.cli.asking import call_the_roll, split_words
from edgeform.cli.drift_looking import compared_all, look
from edgeform.cli.drifting import recheck, show_kept, tell_others, telling
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.planning import open_resolver
from edgeform.cli.scheduling import Schedule, write_schedule
from edgeform.cli.talking import talk
from edgeform.cli.workspace import find_workspace, now
from edgeform.domain.names import short
from edgeform.drift.compare import Compared, Word
from edgeform.emit.ci_files import drift_alerts
from edgeform.errors import (
    CHANGES_PRESENT,
    Incomplete,
    NeedsHands,
    UsageError,
    worst_of,
)
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table

COLUMNS = (
    Column(title="DEVICE"),
    Column(title="STATE"),
    Column(title="GEN", right=True),
    Column(title="KIND"),
    Column(title="WHAT"),
    Column(title="DETAIL"),
)


@click.command("drift")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]... | schedule [SITE] | alerts")
@select_option
@click.option(
    "--goldens",
    type=click.IntRange(0, 100),
    default=0,
    metavar="PERCENT",
    help="Run the checks, golden inputs among them, on a sample that comes round day by day.",
)
@click.option(
    "--webhook",
    "webhooks",
    multiple=True,
    metavar="FORM=REFERENCE",
    help="Tell slack, teams or json what was found; the address is a secret, as in slack=env/NAME.",
)
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.prom",
    help="Write metrics for Prometheus; `drift alerts` prints alert rules.",
)
@click.option(
    "--on-device",
    is_flag=True,
    help="What devices wrote down when they checked themselves; with schedule: have them do so.",
)
@click.option("--systemd", "kind", flag_value="systemd", help="schedule: a service and a timer.")
@click.option("--cron", "kind", flag_value="cron", help="schedule: a line for a crontab.")
@click.option(
    "--ci", "service", type=click.Choice(["github", "gitlab"]), help="schedule: a CI job."
)
@click.option("--at", default="02:15", show_default=True, help="schedule: local time of day.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="schedule: folder for the units, instead of standard output.",
)
@click.option(
    "--install",
    is_flag=True,
    help="schedule: put it where it runs on this machine, and start the timer.",
)
@click.option(
    "--verify",
    type=click.Choice(["none", "sample", "full"]),
    default="full",
    show_default=True,
    help="How thoroughly devices hash their files; none looks at links, configuration and services.",
)
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    goldens: int,
    webhooks: tuple[str, ...],
    textfile: Path | None,
    on_device: bool,
    kind: str | None,
    service: str | None,
    at: str,
    out: Path | None,
    install: bool,
    verify: str,
    output: str,
) -> int:
    """Compare each device with the generation it confirmed last; nothing is put right by looking.

    drift: the device is no longer what it confirmed (exit 2). pending: it is, and an apply waits for it.
    unknown: it could not be looked at (exit 9), which is never taken for clean. held: what is wanted
    failed there before (exit 2): nothing happens until somebody decides. Exit 3 is a site with errors, and
    no device was looked at.

    `drift schedule` writes what does this every night, `drift alerts` prints rules for Prometheus.
    """
    kind = service or kind
    if words[:1] == ("alerts",):
        click.echo(drift_alerts(), nl=False)
        return 0
    if words[:1] == ("schedule",):
        more = _passed_on(selectors, goldens, webhooks, textfile)
        return _schedule(words[1:], kind, at, out, on_device, more, is_installed=install)
    if kind is not None or out is not None or install:
        raise UsageError("That belongs to a schedule:\n    edgeform drift schedule --systemd")
    site, named = split_words(words)
    workspace = find_workspace(site)
    chosen = (*named, *selectors)
    outputs = telling(textfile, webhooks, open_resolver(workspace))
    if on_device:
        with talk() as listener, open_fleet() as transport:
            roll = call_the_roll(str(workspace.site_dir), chosen, listener)
            return worst_of(show_kept(roll, transport, output))
    with talk() as listener, open_fleet() as transport:
        observations, planned, name = look(workspace, transport, chosen, listener, verify)
        found = compared_all(workspace, name, observations, planned)
        if goldens:
            roll = call_the_roll(str(workspace.site_dir), chosen, listener)
            found = recheck(roll, transport, found, goldens, now().date())
    if output == "json":
        for one in found:
            click.echo(line(_json(one)))
    else:
        click.echo(table(COLUMNS, [row for one in found for row in _rows(one)]), nl=False)
    tell_others(outputs, name, found)
    return worst_of(code for one in found for code in codes_of(one))


def _schedule(
    words: tuple[str, ...],
    kind: str | None,
    at: str,
    out: Path | None,
    on_device: bool,
    more: tuple[str, ...],
    *,
    is_installed: bool,
) -> int:
    if kind is None:
        raise UsageError("Who shall do it: --systemd, --cron, --ci github or --ci gitlab?")
    needs_site = not on_device and kind in ("systemd", "cron")
    workspace = find_workspace(words[0] if words else None) if needs_site else None
    prefix = words[0] if on_device and words else "/var/lib/edgeform"
    wanted = Schedule(
        kind=kind, at=at, out=out, on_device=on_device, more=more, is_installed=is_installed
    )
    write_schedule(wanted, workspace, prefix)
    return 0


def _passed_on(
    selectors: tuple[str, ...], goldens: int, webhooks: tuple[str, ...], textfile: Path | None
) -> tuple[str, ...]:
    """The options of the run that is scheduled; references, so that no unit holds a secret."""
    words = [word for selector in selectors for word in ("-l", selector)]
    words += ["--goldens", str(goldens)] if goldens else []
    words += [word for hook in webhooks for word in ("--webhook", hook)]
    words += ["--textfile", str(textfile.resolve())] if textfile is not None else []
    return tuple(words)


def codes_of(one: Compared) -> list[int]:
    """The exit codes that one device contributes, for `errors.worst_of`."""
    codes = {
        Word.DRIFT: CHANGES_PRESENT,
        Word.UNKNOWN: Incomplete.exit_code,
        Word.HELD: CHANGES_PRESENT,
    }
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
