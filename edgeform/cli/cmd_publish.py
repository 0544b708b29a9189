"""`edgeform publish PLAN`: sign one deployment per device. The only verb that needs the site's keys."""

from pathlib import Path

import click

from edgeform.cli.device_keys import pinned_key
from edgeform.cli.plan_shown import read_plan
from edgeform.cli.planning import Wanted, want
from edgeform.cli.talking import talk
from edgeform.cli.tooling import store_tool
from edgeform.cli.travelling import in_place_option, refuse_in_plan
from edgeform.cli.trusting import SiteTrust, open_site_trust
from edgeform.cli.workspace import Workspace, find_workspace, now
from edgeform.errors import Stale
from edgeform.events import Listener
from edgeform.plan import Plan, encode
from edgeform.plan.planfile import digest_of_bytes
from edgeform.publish.publisher import publish_plan
from edgeform.publish.sealing import Sealing
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform_wire.deployment import Deployment


@click.command("publish")
@click.argument("plan_file", metavar="PLAN", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--site", help="The site's folder, if it is not the current one.")
@in_place_option
def command(plan_file: Path, site: str | None, in_place: tuple[str, ...]) -> int:
    """Sign what a saved plan says, so that devices will accept it, by whatever road it comes.

    Secrets of devices in `mode: offline` are sealed to their pinned keys and signed with it. What their class
    wants and does not travel (all but models, runtimes and packages of a driver artifact) is refused by name.
    """
    workspace = find_workspace(site)
    plan = read_plan(plan_file)
    with talk() as listener:
        wanted = want(workspace, listener)
        refuse_in_plan(plan, wanted.site, in_place)
        trust = open_site_trust(workspace, wanted.site.name, may_create=False)
        done = publish(plan, wanted, trust, listener)
    for deployment in done:
        click.echo(f"{deployment.device}\tdeployment {deployment.number}\t{deployment.target_path}")
    return 0


def open_artifacts(workspace: Workspace) -> Artifacts:
    """The workspace's store, with the device tool in it."""
    workspace.ensure_state_dir()
    artifacts = Artifacts(Objects(workspace.store_dir))
    store_tool(artifacts)
    return artifacts


def publish(
    plan: Plan, wanted: Wanted, trust: SiteTrust, listener: Listener
) -> tuple[Deployment, ...]:
    """One signed deployment per device that the plan changes.

    Raises:
        Stale: the site or the lock moved since the plan was made.
    """
    if plan.lock_digest != wanted.lock.digest:
        raise Stale(
            "The lock moved since the plan was made.",
            hint="Plan again:\n    edgeform plan --out plan.json",
        )
    return publish_plan(
        plan,
        wanted.resolution,
        wanted.site,
        plan_digest=digest_of_bytes(encode(plan)),
        artifacts=open_artifacts(wanted.workspace),
        trust=trust,
        now=now(),
        listener=listener,
        sealing=Sealing(
            lambda device: pinned_key(wanted.workspace, device), wanted.resolve_secret, listener
        ),
    )
