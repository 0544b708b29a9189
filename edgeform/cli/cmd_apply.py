"""`edgeform apply`: carry a plan to the devices; each proves it, or returns by itself."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from edgeform.apply.outcome import Outcome, exit_code, sentence, word
from edgeform.cli.applying import Application
from edgeform.cli.cmd_publish import open_artifacts, publish
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import select_option, yes_option
from edgeform.cli.plan_shown import plan_exit_code, read_plan, show, write_plan
from edgeform.cli.planning import Seen, Wanted, look_again, look_and_plan, want
from edgeform.cli.shipping import Dock
from edgeform.cli.talking import talk
from edgeform.cli.trusting import DEVELOPMENT, SiteTrust, open_site_trust
from edgeform.cli.workspace import find_workspace
from edgeform.diagnostics import rendered
from edgeform.errors import ConfirmationNeeded, NotTrusted, RolloutStopped, worst_of
from edgeform.events import Listener
from edgeform.plan import Plan, encode
from edgeform.plan.planfile import digest_of_bytes
from edgeform.report.tables import Column, table
from edgeform.rollout.gate import Verdict
from edgeform.rollout.run import Ended, Stop
from edgeform.transport.base import Transport
from edgeform_wire import deployment
from edgeform_wire.deployment import Deployment

LAST_PLAN = "plan.json"
"""What was applied last, so that `apply --resume` knows."""
STOPPED = RolloutStopped.exit_code


@click.command("apply")
@click.argument("what", required=False, metavar="[PLAN | SITE]")
@click.option("--site", help="The site's folder, when a saved plan is applied from elsewhere.")
@select_option
@yes_option
@click.option(
    "--resume", is_flag=True, help="Leave alone what this plan already brought to an end."
)
@click.option(
    "--max-parallel", type=click.IntRange(1), help="Devices at a time; the site says how many."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan here too."
)
def command(
    what: str | None,
    site: str | None,
    selectors: tuple[str, ...],
    yes: bool,
    resume: bool,
    max_parallel: int | None,
    out: Path | None,
) -> int:
    """Apply a saved plan exactly, or plan a site now, show it, ask, and apply it.

    Each device runs its own transaction and decides by its own checks; losing the connection changes
    nothing. The first Ctrl-C finishes the devices in flight, the second lets go of them.
    """
    saved = Path(what) if what is not None and what.endswith(".json") else None
    workspace = find_workspace(site if saved is not None else what or site)
    last = workspace.state_dir / LAST_PLAN
    if resume and saved is None:
        saved = last
    with talk() as listener, open_fleet() as transport:
        wanted = want(workspace, listener)
        for warning in wanted.warnings:
            click.echo(rendered(warning), err=True)
        if saved is None:
            seen = look_and_plan(wanted, transport, selectors, listener)
        else:
            seen = look_again(wanted, transport, read_plan(saved), listener, is_resumed=resume)
        workspace.ensure_state_dir()
        for file in (last,) if out is None else (last, out):
            write_plan(seen.plan, file)
        show(seen.plan, output="text", expand=False)
        if not seen.plan.changed:
            return plan_exit_code(seen.plan, changes_count=False)
        if not yes:
            _confirm(seen.plan)
        return _apply(wanted, transport, seen, listener, resume=resume, max_parallel=max_parallel)


def _confirm(plan: Plan) -> None:
    if not sys.stdin.isatty():
        raise ConfirmationNeeded(
            f"{len(plan.changed)} device(s) would be changed, and nobody is here to be asked.",
            hint="Read the plan, then:\n    edgeform apply --yes",
        )
    click.confirm(f"Apply this to {len(plan.changed)} device(s)?", abort=True, err=True)


def _apply(
    wanted: Wanted,
    transport: Transport,
    seen: Seen,
    listener: Listener,
    *,
    resume: bool,
    max_parallel: int | None,
) -> int:
    trust = open_site_trust(wanted.workspace, wanted.site.name, may_create=True)
    plan_digest = digest_of_bytes(encode(seen.plan))
    deployments = _deployments(seen.plan, wanted, trust, listener)
    dock = Dock(wanted=wanted, trust=trust, artifacts=open_artifacts(wanted.workspace))
    with wanted.workspace.journal() as journal:
        application = Application(
            wanted=wanted,
            transport=transport,
            seen=seen,
            dock=dock,
            deployments={d.device: d for d in deployments},
            plan_digest=plan_digest,
            journal=journal,
            listener=listener,
        )
        began = time.monotonic()
        with _stoppable() as stop:
            ended = application.run(stop, resume=resume, max_parallel=max_parallel)
        code = _report(seen.plan, ended, time.monotonic() - began)
        application.finish(code)
    return code


def _deployments(
    plan: Plan, wanted: Wanted, trust: SiteTrust, listener: Listener
) -> tuple[Deployment, ...]:
    """Published now under a development root; under another one they must have been published before."""
    if trust.profile == DEVELOPMENT:
        return publish(plan, wanted, trust, listener)
    return published_before(plan, trust)


def published_before(plan: Plan, trust: SiteTrust) -> tuple[Deployment, ...]:
    """The deployments that somebody with keys has signed for this very plan.

    Raises:
        NotTrusted: a device of the plan has none.
    """
    plan_digest = digest_of_bytes(encode(plan))
    found = []
    for changed in plan.changed:
        document = trust.target(deployment.target_path(plan.site, changed.device))
        standing = deployment.decode(document) if document else None
        if standing is None or standing.plan_digest != plan_digest:
            raise NotTrusted(
                "Nobody has signed a deployment for this plan.",
                address=f"devices.{changed.device}",
                hint="Whoever holds the site's keys runs:\n    edgeform publish plan.json",
            )
        found.append(standing)
    return tuple(found)


def _report(plan: Plan, ended: Ended, seconds: float) -> int:
    """The table on standard output, and the exit code of the whole run."""
    rows = [
        (o.device, word(o), sentence(o)) for o in sorted(ended.outcomes, key=lambda o: o.device)
    ]
    rows += [(d, "in flight", "let go of; it decides by itself") for d in ended.unfinished]
    columns = (Column(title="device"), Column(title="outcome"), Column(title="what"))
    click.echo(table(columns, rows))
    for hint in sorted({_hint(o) for o in ended.outcomes if _hint(o)}):
        click.echo(hint, err=True)
    codes = [exit_code(o) for o in ended.outcomes]
    codes += [9] if ended.unfinished else []
    codes += [STOPPED] if ended.verdict is Verdict.STOP else []
    codes += [c for c in plan.exit_codes if c != 2]
    click.echo(f"{len(rows)} device(s) in {seconds:.1f} s", err=True)
    return worst_of(codes)


def _hint(outcome: Outcome) -> str:
    return getattr(outcome, "hint", "")


@contextmanager
def _stoppable() -> Iterator[Stop]:
    """Ctrl-C asks first and insists second, as long as devices are being changed."""
    stop = Stop()

    def heard(_signal: int, _frame: object) -> None:
        if not stop.asked.is_set():
            click.echo("finishing the devices in flight; Ctrl-C again lets go of them", err=True)
        else:
            click.echo(
                "letting go; devices decide by themselves. Go on later with:\n"
                "    edgeform apply --resume",
                err=True,
            )
        stop.ask()

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
