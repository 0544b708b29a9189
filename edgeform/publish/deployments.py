"""Plan and desired state -> deployments. Pure; refuses to compile what the plan did not decide."""

from collections.abc import Mapping

from edgeform.domain.desired import Desired
from edgeform.domain.drivers import DriverTuple
from edgeform.domain.names import short
from edgeform.domain.site import Device, Site
from edgeform.errors import Stale
from edgeform.plan import Changed, Plan, Resolution, stages
from edgeform.plan import changes as c
from edgeform_wire import generation
from edgeform_wire.deployment import Base, Deployment, Policy
from edgeform_wire.driverset import DriverSet

PublishedNumber = Mapping[str, int]
"""(device -> number of its newest published deployment); absent means none."""


def compile_deployments(
    plan: Plan,
    resolution: Resolution,
    site: Site,
    *,
    plan_digest: str,
    published: PublishedNumber,
    issued_at: str,
) -> tuple[Deployment, ...]:
    """One deployment per device that the plan changes, in the order of the plan.

    A device whose plan has driver changes only gets none, as its generation stays, unless .deb files travel.

    Args:
        plan_digest: of the plan file's bytes.

    Raises:
        Stale: the site or the lock is no longer what the plan was made from.
    """
    if site.name != plan.site:
        raise Stale(f"The plan is for the site {plan.site!r:.80}; this one is {site.name!r}.")
    if site.digest != plan.spec_digest:
        raise Stale(
            f"The plan was made from spec {short(plan.spec_digest)};"
            f" the site is now {short(site.digest)}.",
            hint="Plan again:\n    edgeform plan --out plan.json",
        )
    wanted = {desired.device: desired for desired in resolution.desired}
    devices: dict[str, Device] = {device.name: device for device in site.devices}
    return tuple(
        _deployment(
            plan,
            changed,
            _agreed(changed, wanted.get(changed.device)),
            devices[changed.device],
            number=max(published.get(changed.device, 0), changed.base.deployment) + 1,
            plan_digest=plan_digest,
            issued_at=issued_at,
        )
        for changed in plan.changed
        if _needs_deployment(changed, devices[changed.device].hardware.drivers.carried_names)
    )


def _needs_deployment(changed: Changed, carried: frozenset[str]) -> bool:
    parts = stages(changed.changes)
    if any(isinstance(x, c.InstallPackage) and x.name in carried for x in parts.drivers):
        return (
            True  # the device installs them itself: the generation comes again, with another number
        )
    return bool(parts.generation) or any(isinstance(x, c.UpdateTool) for x in parts.tool)


def _agreed(changed: Changed, desired: Desired | None) -> Desired:
    """What is wanted now, when it still is what the plan said."""
    if desired is None or desired.generation_digest != changed.target:
        now = short(desired.generation_digest) if desired is not None else "nothing"
        raise Stale(
            f"The plan brings {changed.device} to generation {short(changed.target)};"
            f" site and lock now ask for {now}.",
            address=f"devices.{changed.device}",
            hint="Plan again:\n    edgeform plan --out plan.json",
        )
    return desired


def _deployment(
    plan: Plan,
    changed: Changed,
    desired: Desired,
    device: Device,
    *,
    number: int,
    plan_digest: str,
    issued_at: str,
) -> Deployment:
    return Deployment(
        site=plan.site,
        device=changed.device,
        number=number,
        base=Base(generation=changed.base.generation, digest=changed.base.digest),
        generation=generation.decode(desired.manifest.encode()),
        policy=policy_of(device, changed),
        plan_digest=plan_digest,
        spec_digest=plan.spec_digest,
        lock_digest=plan.lock_digest,
        issued_at=issued_at,
    )


def _drivers(wanted: DriverTuple) -> DriverSet | None:
    """The .deb files that travel with the deployment; the rest of the tuple is the provision lane's."""
    if wanted.artifact is None:
        return None
    return DriverSet(
        artifact=wanted.artifact,
        held=tuple(sorted(p.name for p in wanted.carried if p.hold)),
        verify=wanted.verify or (),
        undo=str(wanted.undo),
        reboot=wanted.reboot,
    )


def policy_of(device: Device, changed: Changed) -> Policy:
    """How the device shall go about it. The reboot of a driver change is not its business: drivers are
    changed before, in a transaction of their own.
    """
    updates = [x for x in changed.changes if isinstance(x, c.UpdateTool)]
    return Policy(
        drivers=_drivers(device.hardware.drivers),
        asks=device.hardware.drivers.provisioned.asked,
        confirm=device.confirm,
        confirm_s=device.confirm_s,
        deadline_s=device.deadline_s,
        soak_s=device.soak_s,
        require_clock=device.require_clock,
        unsigned_receipts=device.unsigned_receipts,
        tool=updates[0].digest if updates else None,
    )
