"""`edgeform policy PLAN DIR`: ask a team's own rules about a plan, before anybody applies it."""

import json
from datetime import datetime
from pathlib import Path

import click

from edgeform.cli.options import output_option
from edgeform.cli.plan_shown import read_plan
from edgeform.cli.workspace import find_workspace
from edgeform.cli.workspace import now as time_now
from edgeform.errors import PolicyDenied, UsageError
from edgeform.plan.planfile import to_json
from edgeform.policy.rego import at_this_time, judge, read_policies
from edgeform.report.clean import one_line
from edgeform.spec.load import load


@click.command("policy")
@click.argument("plan_file", metavar="PLAN", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--site", help="The site's folder: policies then see the devices' labels, too.")
@click.option("--at", metavar="TIME", help="Judge for this time (ISO 8601) instead of now.")
@output_option("text", "json")
def command(plan_file: Path, folder: Path, site: str | None, at: str | None, output: str) -> int:
    """Judge a saved plan by the Rego policies of DIR; exit 4 when one of them denies it.

    A policy is of package edgeform; its rules deny and warn hold messages. Its input is the plan's JSON with
    `at` (iso, weekday, hour, minute) and, with --site, `labels` by device.
    """
    plan = read_plan(plan_file)
    document = to_json(plan) | {"at": at_this_time(_time(at))}
    if site is not None:
        loaded = load(find_workspace(site).site_dir).checked()
        document["labels"] = {d.name: dict(d.labels) for d in loaded.devices}
    found = judge(read_policies(folder), document)
    if output == "json":
        said = {"denials": list(found.denials), "warnings": list(found.warnings)}
        click.echo(json.dumps(said, sort_keys=True, ensure_ascii=False))
        return PolicyDenied.exit_code if found.denials else 0
    for message in found.warnings:
        click.echo(f"warning: {one_line(message)}", err=True)
    if found.denials:
        raise PolicyDenied(
            "\n".join(one_line(message) for message in found.denials),
            address=str(plan_file),
            hint="Change the site, or the policy, or wait; then plan again.",
        )
    click.echo("allowed")
    return 0


def _time(at: str | None) -> datetime:
    if at is None:
        return time_now().astimezone()
    try:
        return datetime.fromisoformat(at)
    except ValueError as exc:
        raise UsageError(f"{at!r:.60} is no time; write 2026-03-02T14:00:00+01:00.") from exc
