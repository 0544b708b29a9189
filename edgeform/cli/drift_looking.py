"""Looking at devices for drift, for every verb that wants to know: `drift` itself, and `report`."""

from collections.abc import Mapping

import click

from edgeform.cli.asking import call_the_roll
from edgeform.cli.fleet import observe
from edgeform.cli.planning import look_and_plan, want
from edgeform.cli.remembering import remembered
from edgeform.cli.workspace import Workspace
from edgeform.domain.observed import Observation
from edgeform.drift.compare import Compared, compare
from edgeform.events import Listener
from edgeform.plan import DevicePlan
from edgeform.transport.base import Transport


def looked(
    workspace: Workspace, transport: Transport, selectors: tuple[str, ...], listener: Listener
) -> tuple[dict[str, Observation], dict[str, Compared]]:
    """What was seen of each device, and what is to be said about it."""
    observations, planned, site = look(workspace, transport, selectors, listener, "sample")
    found = compared_all(workspace, site, observations, planned)
    return dict(observations), {one.device: one for one in found}


def compared_all(
    workspace: Workspace,
    site: str,
    observations: Mapping[str, Observation],
    planned: Mapping[str, DevicePlan],
) -> list[Compared]:
    """Every device against its last confirmed generation and against what is wanted of it."""
    confirmed = _remembered(workspace, site, observations)
    return [
        compare(seen, planned.get(device), confirmed.get(device))
        for device, seen in observations.items()
    ]


def look(
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
    looked = look_and_plan(
        wanted, transport, selectors, listener, verify=verify, is_remembering=False
    )
    planned = {device.device: device for device in looked.plan.devices}
    return looked.observations, planned, wanted.site.name


def _remembered(
    workspace: Workspace, site: str, observations: Mapping[str, Observation]
) -> dict[str, str]:
    """The digest that each device's newest archived receipt confirms, if no newer receipt waits there."""
    archive = remembered(workspace, site)
    return {
        device: archive[device].digest
        for device, seen in observations.items()
        if device in archive and archive[device].last_seq == getattr(seen, "last_receipt", 0)
    }
