"""What is wanted, and what was seen -> what would be done to each device.

Two things are kept apart everywhere: the world moved (`drift`), and we did (all other reasons).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from edgeform.diagnostics import Diagnostic
from edgeform.domain.artifacts import Lock, Model, VersionRule
from edgeform.domain.bulk import without_gc
from edgeform.domain.desired import Desired
from edgeform.domain.names import short
from edgeform.domain.observed import Observation, Observed, Unobserved, Unreachability
from edgeform.domain.site import Device, Site
from edgeform.plan import changes as c
from edgeform.plan import problems
from edgeform.plan.changes import Change, Fidelity, Reason, Undoing, send_bytes
from edgeform.plan.drivers import driver_changes, not_named
from edgeform.plan.fit import misfits
from edgeform.plan.generations import SWITCH_S, Manifests
from edgeform.plan.order import in_order
from edgeform.plan.plan import (
    Base,
    Blocked,
    Busy,
    Changed,
    DevicePlan,
    Held,
    Plan,
    Unchanged,
    Unreachable,
)
from edgeform.plan.resolve import Resolution, ShippedTool
from edgeform_wire.errors import WireError
from edgeform_wire.generation import ArtifactRef

NOT_WORKING = ("failed", "stopped")
_PINNED = (VersionRule.EXACT, VersionRule.DIGEST)
_BLOCKING = (Unreachability.PYTHON, Unreachability.SUDO)
"""The device answers, but cannot be worked with until somebody changes it."""


Measures = Callable[[str], Mapping[str, float]]


def unmeasured(digest: str) -> Mapping[str, float]:
    """Measures of a site that has none."""
    del digest
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all devices of a site share while they are compared.

    Args:
        roots: digests of every root of the site's chain; empty when not to be judged.
        remembered: (device -> digest of the generation that our own journal saw committed last).
        measures: figures of an artifact by digest, as far as the lock or the store knows them.
    """

    site: str
    models: Mapping[str, Model]
    tool: ShippedTool | None = None
    roots: tuple[str, ...] = ()
    remembered: Mapping[str, str] = field(default_factory=dict)
    manifests: Manifests = field(default_factory=Manifests)
    measures: Measures = unmeasured


COMPARED = ("accuracy", "agreement", "p50_ms", "size_bytes", "sqnr_db")
"""The measures that a plan compares when a model is replaced."""


def make_plan(
    site: Site,
    lock: Lock,
    resolution: Resolution,
    observations: Iterable[Observation],
    *,
    context: Context,
    created_at: str,
    made_by: str,
    selector: str = "",
) -> Plan:
    """The plan for the devices that were observed, in the order of the site.

    A device that is observed but not in the site is left out; one in the site that was not observed
    was not selected, and is left out too.
    """
    seen = {observation.device: observation for observation in observations}
    desired = {wanted.device: wanted for wanted in resolution.desired}
    stuck = dict(resolution.blocked)
    with without_gc():
        devices = tuple(
            device_plan(
                device,
                desired.get(device.name, stuck.get(device.name, ())),
                seen[device.name],
                context,
            )
            for device in site.devices
            if device.name in seen
        )
    return Plan(
        site=site.name,
        spec_digest=site.digest,
        lock_digest=lock.digest,
        tool_digest=context.tool.artifact if context.tool is not None else "",
        created_at=created_at,
        made_by=made_by,
        selector=selector,
        devices=devices,
    )


def device_plan(
    device: Device,
    desired: Desired | tuple[Diagnostic, ...],
    observation: Observation,
    context: Context,
) -> DevicePlan:
    """One device's situation: what would be done to it, or why nothing can be."""
    match observation:
        case Unobserved():
            return _not_seen(device, observation)
        case Observed():
            return _seen(device, desired, observation, context)
        case _:
            assert_never(observation)


def _not_seen(device: Device, observation: Unobserved) -> DevicePlan:
    if observation.reason in _BLOCKING:
        problem = problems.cannot_look(device.name, observation.detail, observation.hint)
        return Blocked(
            device=device.name, hardware_class=device.hardware.name, base=None, problems=(problem,)
        )
    return Unreachable(
        device=device.name,
        hardware_class=device.hardware.name,
        reason=str(observation.reason),
        detail=observation.detail,
        hint=observation.hint,
    )


def _seen(
    device: Device,
    desired: Desired | tuple[Diagnostic, ...],
    observed: Observed,
    context: Context,
) -> DevicePlan:
    base = Base(
        generation=observed.committed,
        digest=observed.generation_digest,
        deployment=observed.deployment,
        facts_digest=observed.facts.digest,
        boot_id=observed.facts.boot_id,
    )
    name, kind = device.name, device.hardware.name

    def blocked(*found: Diagnostic) -> Blocked:
        return Blocked(device=name, hardware_class=kind, base=base, problems=found)

    if observed.needs_hands:
        return blocked(problems.needs_hands(name, observed.needs_hands))
    if observed.transaction is not None:
        return Busy(device=name, hardware_class=kind, base=base, transaction=observed.transaction)
    if isinstance(desired, tuple):
        return blocked(*desired)
    root = observed.root_digest
    if root is not None and context.roots and root not in context.roots:
        return blocked(problems.other_root(name, short(root)))
    if held := _quarantined(desired, observed):
        return Held(device=name, hardware_class=kind, base=base, digest=held[0], detail=held[1])
    try:
        changes = _changes(device, desired, observed, context)
    except WireError as exc:
        return blocked(problems.unreadable_manifest(name, str(exc)))
    found = misfits(
        device,
        observed.facts,
        desired.artifacts,
        send_bytes=send_bytes(changes),
        drivers_change=any(isinstance(change, c.DriverChange) for change in changes),
    )
    found = (*_unnamed(device, changes), *found)
    if found:
        return blocked(*found)
    if not changes:
        return Unchanged(device=name, hardware_class=kind, base=base)
    return Changed(
        device=name,
        hardware_class=kind,
        base=base,
        target=desired.generation_digest,
        changes=in_order(changes),
        reasons=desired.reasons,
    )


def _unnamed(device: Device, changes: tuple[Change, ...]) -> tuple[Diagnostic, ...]:
    packages = not_named(device.hardware.drivers, changes)
    if not packages:
        return ()
    return (problems.driver_not_named(device.name, device.hardware.name, packages),)


def _quarantined(desired: Desired, observed: Observed) -> tuple[str, str] | None:
    """The digest that failed here before, and what it is; None when nothing wanted has."""
    if desired.generation_digest == observed.generation_digest:
        return None
    if desired.generation_digest in observed.quarantined:
        return desired.generation_digest, "this generation failed on this device before"
    for artifact in desired.artifacts:
        if artifact.digest in observed.quarantined:
            label = f"{artifact.kind} {artifact.name} {artifact.version} {artifact.variant}"
            return artifact.digest, f"{label} failed on this device before"
    return None


def _changes(
    device: Device, desired: Desired, observed: Observed, context: Context
) -> tuple[Change, ...]:
    first = observed.committed == 0 and observed.generation_digest is None
    reason = Reason.FIRST_INSTALL if first else Reason.SPEC_CHANGED
    return (
        *_tool(observed, context),
        *driver_changes(desired.drivers, observed.facts, reason),
        *_generation(device, desired, observed, context),
        *_drift(observed),
    )


def _tool(observed: Observed, context: Context) -> tuple[Change, ...]:
    found: tuple[Change, ...] = ()
    tool, has = context.tool, observed.tool
    if tool is not None and has is None:
        found += (
            c.InstallTool(
                version=tool.version,
                digest=tool.artifact,
                reason=Reason.FIRST_INSTALL,
                undo=Undoing.NONE,
                send_bytes=tool.size_bytes,
            ),
        )
    elif tool is not None and has is not None and has.digest not in (tool.file, tool.artifact):
        found += (
            c.UpdateTool(
                before=has.version,
                version=tool.version,
                digest=tool.artifact,
                reason=Reason.TOOL_CHANGED,
                undo=Undoing.TOOL,
                send_bytes=tool.size_bytes,
            ),
        )
    if observed.root_digest is None:
        found += (c.Enrol(site=context.site, reason=Reason.FIRST_INSTALL, undo=Undoing.NONE),)
    return found


def _generation(
    device: Device, desired: Desired, observed: Observed, context: Context
) -> tuple[Change, ...]:
    if observed.committed and observed.manifest is None:
        # Its own record of what it runs is gone: whatever is there, all of it is proven anew.
        found = _compared(device, desired, observed, context, because=Reason.DRIFT)
        return (*found, _other_manifest(desired, "unreadable", ""))
    if desired.generation_digest == observed.generation_digest:
        return ()
    moved_away = context.remembered.get(device.name) == desired.generation_digest
    found = _compared(
        device, desired, observed, context, because=Reason.DRIFT if moved_away else None
    )
    if found or observed.manifest is None:
        return found  # a device that shall run nothing needs no first generation
    why = "the manifest says what is wanted, but not in the bytes of its digest"
    return (_other_manifest(desired, observed.generation_digest or "none", why),)


def _compared(
    device: Device,
    desired: Desired,
    observed: Observed,
    context: Context,
    *,
    because: Reason | None,
) -> tuple[Change, ...]:
    found = context.manifests.changes(
        device.name,
        observed.manifest,
        desired.manifest,
        reason_of=lambda was, now: _reason(was, now, context.models),
        all_because=because,
        generation=desired.generation,
    )
    return tuple(
        replace(change, figures=_figures(change, context.measures))
        if isinstance(change, c.ReplaceModel)
        else change
        for change in found
    )


def _figures(change: c.ReplaceModel, measures: Measures) -> tuple[c.Figure, ...]:
    """What is known about both models and differs, by name."""
    before, after = measures(change.before.digest), measures(change.after.digest)
    return tuple(
        c.Figure(name=name, before=before.get(name), after=after.get(name))
        for name in COMPARED
        if before.get(name) != after.get(name)
    )


def _other_manifest(desired: Desired, actual: str, why: str) -> Change:
    return c.RestoreDrift(
        kind="generation",
        path="manifest.json",
        expected=desired.generation_digest,
        actual=actual,
        reason=Reason.DRIFT,
        why=why,
        downtime_s=SWITCH_S,
    )


def _reason(was: ArtifactRef, now: ArtifactRef, models: Mapping[str, Model]) -> Reason:
    if (was.version, was.variant) == (now.version, now.variant):
        return Reason.REBUILT
    model = models.get(now.name) if now.kind == "model" else None
    if was.version != now.version and model is not None and model.rule not in _PINNED:
        return Reason.VERSION_MOVED
    return Reason.SPEC_CHANGED


def _drift(observed: Observed) -> tuple[Change, ...]:
    found = dict.fromkeys(
        c.RestoreDrift(
            kind=drift.kind,
            path=drift.path,
            expected=drift.expected,
            actual=drift.actual,
            reason=Reason.DRIFT,
            fidelity=Fidelity.EXACT,
            downtime_s=SWITCH_S,
        )
        for drift in observed.drift
    )
    told = {(drift.kind, drift.path) for drift in observed.drift}
    for health in observed.health:
        unit = f"edgeform-pipeline@{health.name}.service"
        if health.state in NOT_WORKING and ("service", unit) not in told:
            found[
                c.RestoreDrift(
                    kind="service",
                    path=unit,
                    expected="active",
                    actual=health.state,
                    reason=Reason.DRIFT,
                    why=health.detail,
                    downtime_s=SWITCH_S,
                )
            ] = None
    return tuple(found)
