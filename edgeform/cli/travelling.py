"""What a class wants and no stick and no pull brings: refused by name before anything is signed or copied."""

from collections.abc import Callable, Iterable, Sequence

import click

from edgeform.bundle.records import last_known
from edgeform.cli.workspace import Workspace
from edgeform.diagnostics import Diagnostic
from edgeform.domain.observed import Observed
from edgeform.domain.site import Device, Site
from edgeform.errors import SpecInvalid, UsageError
from edgeform.plan import Plan
from edgeform.plan import changes as c
from edgeform.plan.drivers import driver_changes, not_named, not_travelling
from edgeform.plan.problems import does_not_travel, driver_not_named
from edgeform.publish.sealing import OFFLINE

in_place_option: Callable[[Callable[..., int]], Callable[..., int]] = click.option(
    "--in-place",
    "in_place",
    multiple=True,
    metavar="DEVICE",
    help="An offline device where you know that what does not travel (rules, groups, ...) is there.",
)


def refuse_in_plan(plan: Plan, site: Site, in_place: Sequence[str]) -> None:
    """Refuse a plan that changes on an offline device what does not travel.

    Raises:
        SpecInvalid: with a diagnostic per device. UsageError: the site has no such device.
    """
    changes = {changed.device: changed.changes for changed in plan.changed}
    _refuse(site, ((d, changes[d.name]) for d in site.devices if d.name in changes), in_place)


def refuse_as_known(
    workspace: Workspace, site: Site, devices: Iterable[Device], in_place: Sequence[str]
) -> None:
    """The same by what is at home of each device: the last report, or its class alone.

    Raises:
        SpecInvalid, UsageError: as above. Corrupt: a report is not what `bundle ingest` keeps.
    """
    _refuse(site, ((d, _lacking(workspace, d)) for d in devices if _is_offline(d)), in_place)


def _lacking(workspace: Workspace, device: Device) -> tuple[c.DriverChange, ...]:
    file = workspace.state_file(device.name)
    seen = last_known(device, file.read_bytes() if file.exists() else None)
    if not isinstance(seen, Observed):
        return ()
    return driver_changes(device.hardware.drivers, seen.facts, c.Reason.SPEC_CHANGED)


def _refuse(
    site: Site, found: Iterable[tuple[Device, Sequence[object]]], in_place: Sequence[str]
) -> None:
    for name in in_place:
        if site.device(name) is None:
            raise UsageError(f"The site has no device {name!r:.80}.", address="--in-place")
    problems: list[Diagnostic] = []
    for device, changes in found:
        if not _is_offline(device) or device.name in in_place:
            continue
        drivers, hardware = device.hardware.drivers, device.hardware.name
        if packages := not_named(drivers, changes):
            problems.append(driver_not_named(device.name, hardware, packages))
        staying = tuple(
            x.address
            for x in not_travelling(drivers, changes)
            if not (isinstance(x, c.InstallPackage) and x.name in packages)
        )
        if staying:
            problems.append(does_not_travel(device.name, hardware, staying))
    if problems:
        raise SpecInvalid(tuple(problems))


def _is_offline(device: Device) -> bool:
    return device.connect.mode == OFFLINE
