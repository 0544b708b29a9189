"""Everything a page about a fleet needs, from the site, the journal, the records, Git and what was seen."""

from collections.abc import Mapping, Sequence

from edgeform.cli.device_keys import pinned_key
from edgeform.cli.histories import Chain, known, moments, site_commits
from edgeform.cli.workspace import Workspace, stamp
from edgeform.domain.artifacts import Lock
from edgeform.domain.observed import Observation, Observed
from edgeform.domain.site import Device, Site
from edgeform.drift.compare import Compared
from edgeform.report.fleet import (
    DeviceRow,
    Fleet,
    Health,
    Lane,
    Latency,
)
from edgeform.report.tables import state_of
from edgeform_device.receipts import Fault, faults
from edgeform_wire.receipt import Receipt

MOST_COMMITS = 2000
_HEALTH = {
    "needs-hands": Health.NEEDS_HANDS,
    "busy": Health.BUSY,
    "new": Health.NEW,
    "unhealthy": Health.UNHEALTHY,
    "empty": Health.EMPTY,
    "drifted": Health.HEALTHY,
    "healthy": Health.HEALTHY,
}


def fleet_of(
    workspace: Workspace,
    site: Site,
    devices: Sequence[Device],
    lock: Lock | None,
    *,
    seen: Mapping[str, Observation],
    compared: Mapping[str, Compared],
    looked_at: str = "",
) -> Fleet:
    """The fleet as it is known now.

    Args:
        seen, compared: empty where no device was asked.
        looked_at: when `seen` was seen; empty means now.
    """
    commits = site_commits(workspace)
    archived = known(workspace, site.name, devices)
    rows, told = [], []
    for device in devices:
        chain = archived.chains[device.name]
        receipts = chain.receipts  # decoded once; ten thousand devices have many
        looks = seen.get(device.name), compared.get(device.name)
        rows.append(_row(workspace, device, lock, chain, receipts, *looks))
        told += moments(receipts, commits)
    told.sort(key=lambda m: (m.time, m.device), reverse=True)
    return Fleet(
        site=site.name,
        made_at=stamp(),
        looked_at=(looked_at or stamp()) if seen else "",
        rows=tuple(rows),
        moments=tuple(told),
        runs=archived.runs,
        lanes=lanes_of(devices),
    )


def lanes_of(devices: Sequence[Device]) -> tuple[Lane, ...]:
    """Devices grouped by how they are wired."""
    found: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for device in devices:
        key = (
            tuple(sorted({p.capture.kind for p in device.pipelines})),
            tuple(sorted({p.name for p in device.pipelines})),
            (device.hardware.name,),
            tuple(sorted({a.kind for p in device.pipelines for a in p.actions})),
        )
        found.setdefault(key, []).append(device.name)
    return tuple(
        Lane(
            sources=_plain(sources),
            pipelines=pipelines,
            hardware_class=hardware[0],
            sinks=_plain(sinks),
            devices=tuple(names),
        )
        for (sources, pipelines, hardware, sinks), names in found.items()
    )


def _plain(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(kind.replace("_", " ") for kind in kinds)


def _row(
    workspace: Workspace,
    device: Device,
    lock: Lock | None,
    chain: Chain,
    receipts: Sequence[Receipt],
    seen: Observation | None,
    compared: Compared | None,
) -> DeviceRow:
    lines = chain.lines
    key = pinned_key(workspace, device.name) if lines else None
    wrong = faults(list(lines), key) if lines else ()
    last = receipts[-1] if receipts else None
    committed = [r for r in receipts if r.result == "committed"]
    generation, digest = (
        (committed[-1].to_generation, committed[-1].digest) if committed else (0, "")
    )
    if isinstance(seen, Observed):
        generation, digest = seen.committed, seen.generation_digest or ""
    notes: tuple[str, ...] = ()
    if compared is not None:
        notes = (*compared.notes, *(f"{d.kind} {d.path}" for d in compared.found[:3]))
    return DeviceRow(
        device=device.name,
        hardware_class=device.hardware.name,
        models=_models(device, lock),
        generation=generation,
        digest=digest,
        health=_health(seen),
        words=tuple(str(w) for w in compared.words) if compared is not None else (),
        notes=notes,
        receipts=len(lines),
        chain=_wrong(wrong, chain),
        is_signed=key is not None and not wrong and last is not None and last.signing != "unsigned",
        last_result=last.result if last else "",
        last_time=last.wall_time if last else "",
        latencies=_latencies(device, committed),
    )


def _wrong(faults_found: Sequence[Fault], chain: Chain) -> str:
    """The first thing that is wrong with a chain; empty if nothing is."""
    if faults_found:
        return f"line {faults_found[0].line}: {faults_found[0].reason}"
    return f"line {chain.parted.line}: {chain.parted.detail}" if chain.parted else ""


def _health(seen: Observation | None) -> Health:
    if seen is None:
        return Health.UNSEEN
    return _HEALTH[state_of(seen)] if isinstance(seen, Observed) else Health.UNREACHABLE


def _models(device: Device, lock: Lock | None) -> tuple[str, ...]:
    names = sorted({p.infer.model for p in device.pipelines})
    versions = {n: lock.version_of(n) for n in names} if lock is not None else {}
    return tuple(f"{name} {versions.get(name) or ''}".strip() for name in names)


def _latencies(device: Device, committed: Sequence[Receipt]) -> tuple[Latency, ...]:
    budgets: dict[str, float | None] = {p.name: p.checks.p50_ms for p in device.pipelines}
    found: dict[str, list[float]] = {}
    for receipt in committed:
        for check in receipt.checks:
            value = check.measured.get("wall_p50_ms")
            if check.name.endswith("latency") and isinstance(value, int | float):
                found.setdefault(check.pipeline, []).append(float(value))
    return tuple(
        Latency(pipeline=name, p50_ms=tuple(values), budget_ms=budgets.get(name))
        for name, values in sorted(found.items())
    )
