"""From a workspace to a plan: what `plan`, `publish`, `apply` and `drift` all begin with."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeform import events
from edgeform.bundle.records import as_of, last_known
from edgeform.cli.fleet import Resolve, observe, target_of
from edgeform.cli.measuring import measures_of
from edgeform.cli.remembering import remembered
from edgeform.cli.tooling import root_digests, shipped_tool
from edgeform.cli.workspace import Workspace, stamp, who
from edgeform.diagnostics import Diagnostic
from edgeform.domain.artifacts import Lock
from edgeform.domain.observed import Observation, Observed
from edgeform.domain.site import Device, SecretRef, Site
from edgeform.errors import Stale
from edgeform.lock.lockfile import read as read_lock
from edgeform.plan import Changed, Context, Plan, Resolution, ShippedTool, make_plan, resolve
from edgeform.secrets.passphrase import SECRETS_VARIABLE, read_passphrase
from edgeform.secrets.resolver import Resolver
from edgeform.secrets.site_key import local_site_key
from edgeform.spec.load import load
from edgeform.spec.selector import select
from edgeform.transport.base import Target, Transport

Hmac = Callable[[str, str, SecretRef], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A site with its lock, worked out: what every device should be."""

    workspace: Workspace
    site: Site
    lock: Lock
    tool: ShippedTool
    resolution: Resolution
    resolver: Resolver
    warnings: tuple[Diagnostic, ...]

    @property
    def resolve_secret(self) -> Resolve:
        return self.resolver.resolve


def load_site(
    workspace: Workspace, listener: events.Listener
) -> tuple[Site, tuple[Diagnostic, ...]]:
    """The site and its warnings.

    Raises:
        SpecInvalid: it has errors.
    """
    began = time.monotonic()
    loaded = load(workspace.site_dir)
    site = loaded.checked()
    listener(
        events.SiteLoaded(
            site=site.name,
            devices=len(site.devices),
            files=len(loaded.files),
            seconds=time.monotonic() - began,
        )
    )
    return site, loaded.diagnostics


def want(workspace: Workspace, listener: events.Listener) -> Wanted:
    """Load, lock and resolve. Reads files only.

    Raises:
        SpecInvalid: the site or its lock has errors.
    """
    site, warnings = load_site(workspace, listener)
    lock = read_lock(workspace.lock_file).checked()
    tool = shipped_tool()
    resolver = open_resolver(workspace)
    site_key_file = workspace.state_dir / "site.key"
    hmac_of = resolver.hmac_with(lambda: local_site_key(site_key_file))
    return Wanted(
        workspace=workspace,
        site=site,
        lock=lock,
        tool=tool,
        resolution=resolve(site, lock, tool, hmac_of),
        resolver=resolver,
        warnings=warnings,
    )


def open_resolver(workspace: Workspace) -> Resolver:
    """Where the values of the site's secrets come from; nothing is opened before it is asked."""
    return Resolver(
        folder=workspace.site_dir,
        environ=os.environ,
        passphrase=lambda: read_passphrase(SECRETS_VARIABLE, os.environ),
    )


def targets(wanted: Wanted, devices: Sequence[Device]) -> dict[str, Target]:
    """How each device is reached, with the site's pinned host keys."""
    return targets_of(wanted.workspace, wanted.resolver, devices)


def targets_of(
    workspace: Workspace, resolver: Resolver, devices: Sequence[Device]
) -> dict[str, Target]:
    """The same for a site whose lock nobody needs."""
    pinned = workspace.known_hosts if workspace.known_hosts.exists() else None
    return {d.name: target_of(d, pinned, resolver.resolve) for d in devices}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A plan together with the observations it was made from."""

    plan: Plan
    observations: dict[str, Observation]


def look_and_plan(
    wanted: Wanted,
    transport: Transport,
    selectors: Sequence[str],
    listener: events.Listener,
    *,
    verify: str = "sample",
    is_remembering: bool = True,
) -> Seen:
    """One look at each selected device, and what would be done to it.

    Args:
        verify: how thoroughly devices compare their files with their manifest; a sample looks at every
            file's size and mode and hashes some, for about 40 ms on a device (x86-64, 2026-11-22).
        is_remembering: whether what somebody else did to a device that was as wanted is called drift.
    """
    devices = select(wanted.site, selectors)
    found = observed(wanted, transport, devices, listener, verify=verify)
    memory = remembered(wanted.workspace, wanted.site.name) if is_remembering else {}
    context = Context(
        site=wanted.site.name,
        models={m.name: m for m in wanted.site.models},
        tool=wanted.tool,
        roots=root_digests(wanted.workspace.trust_dir),
        remembered={device: found.digest for device, found in memory.items()},
        measures=measures_of(wanted.workspace, wanted.lock),
    )
    plan = make_plan(
        wanted.site,
        wanted.lock,
        wanted.resolution,
        found.values(),
        context=context,
        created_at=stamp(),
        made_by=who(),
        selector=" ".join(selectors),
    )
    return Seen(plan=plan, observations=found)


def observed(
    wanted: Wanted,
    transport: Transport,
    devices: Sequence[Device],
    listener: events.Listener,
    *,
    verify: str,
) -> dict[str, Observation]:
    """A look at each device; one in `mode: offline` as it was when a stick last came home from it."""
    reached = [d for d in devices if d.connect.mode != "offline"]
    found = observe(transport, reached, targets(wanted, reached), listener, verify=verify)
    for device in devices:
        if device.connect.mode == "offline":
            file = wanted.workspace.state_file(device.name)
            report = file.read_bytes() if file.exists() else None
            found[device.name] = last_known(device, report)
            text = f"offline; planned from {as_of(report)}"
            listener(events.Note(device=device.name, text=text))
    return {d.name: found[d.name] for d in devices}


def look_again(
    wanted: Wanted,
    transport: Transport,
    plan: Plan,
    listener: events.Listener,
    *,
    is_resumed: bool = False,
) -> Seen:
    """A saved plan with a fresh look at the devices it changes.

    The device refuses a plan that is not for its present state; this only spares it the upload.

    Args:
        is_resumed: an earlier run began with this plan, so that devices may be where it leads.

    Raises:
        Stale: the site moved, or a device is no longer what the plan was made for.
    """
    if plan.spec_digest != wanted.site.digest or plan.lock_digest != wanted.lock.digest:
        raise Stale(
            "The site or its lock moved since the plan was made.",
            hint="Plan again:\n    edgeform plan --out plan.json",
        )
    if plan.site != wanted.site.name:
        raise Stale(
            f"The plan is for the site {plan.site!r:.80}; this one is {wanted.site.name!r}."
        )
    names = {changed.device for changed in plan.changed}
    devices = [d for d in wanted.site.devices if d.name in names]
    for strange in sorted(names - {d.name for d in devices}):
        raise Stale(
            f"The plan changes a device that the site does not have: {strange!r:.80}.",
            hint="Plan again:\n    edgeform plan --out plan.json",
        )
    found = observed(wanted, transport, devices, listener, verify="none")
    for changed in plan.changed:
        seen = found.get(changed.device)
        if is_resumed and has_arrived(changed, seen):
            continue
        if isinstance(seen, Observed) and seen.committed != changed.base.generation:
            raise Stale(
                f"It has generation {seen.committed}; the plan was made for"
                f" generation {changed.base.generation}.",
                address=f"devices.{changed.device}",
                hint="Plan again:\n    edgeform plan --out plan.json",
            )
    return Seen(plan=plan, observations=found)


def has_arrived(changed: Changed, seen: Observation | None) -> bool:
    """Whether the device has committed what the plan wants, by whoever's doing."""
    return isinstance(seen, Observed) and seen.generation_digest == changed.target
