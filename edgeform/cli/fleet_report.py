"""Everything a page about a fleet needs, from the site, the journal, the records, Git and what was seen."""

import bisect
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime

from edgeform.cli.device_keys import pinned_key
from edgeform.cli.workspace import Workspace, stamp
from edgeform.domain.artifacts import Lock
from edgeform.domain.observed import Observation, Observed
from edgeform.domain.site import Device, Site
from edgeform.drift.compare import Compared
from edgeform.report.fleet import (
    Commit,
    DeviceRow,
    Fleet,
    Health,
    Lane,
    Latency,
    Moment,
    RunRow,
)
from edgeform.report.tables import state_of
from edgeform.rollout.journal import Journal
from edgeform_device.receipts import faults
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import Receipt, decode_line

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
) -> Fleet:
    """The fleet as it is known now.

    Args:
        seen, compared: empty where no device was asked.
    """
    commits = _commits(workspace)
    rows, moments = [], []
    runs: tuple[RunRow, ...] = ()
    lines_of = _recorded(workspace, devices)
    if (workspace.state_dir / "journal.db").exists():
        with workspace.journal() as journal:
            runs = _runs(journal)
            for device in devices:
                archived = journal.receipts(site.name, device.name)
                if len(archived) >= len(lines_of.get(device.name, ())):
                    lines_of[device.name] = archived
    for device in devices:
        lines = tuple(line.rstrip(b"\n") for line in lines_of.get(device.name, ()))
        receipts = _readable(lines)
        rows.append(
            _row(
                workspace,
                device,
                lock,
                lines,
                receipts,
                seen.get(device.name),
                compared.get(device.name),
            )
        )
        moments += [_moment(receipt, commits) for receipt in receipts]
    moments.sort(key=lambda m: (m.time, m.device), reverse=True)
    return Fleet(
        site=site.name,
        made_at=stamp(),
        looked_at=stamp() if seen else "",
        rows=tuple(rows),
        moments=tuple(moments),
        runs=runs,
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


def _recorded(workspace: Workspace, devices: Sequence[Device]) -> dict[str, tuple[bytes, ...]]:
    """The receipts that Git keeps, for a machine whose journal knows fewer."""
    found: dict[str, tuple[bytes, ...]] = {}
    for device in devices:
        file = workspace.records_dir / f"{device.name}.jsonl"
        if file.exists():
            found[device.name] = tuple(file.read_bytes().splitlines())
    return found


def _readable(lines: Sequence[bytes]) -> tuple[Receipt, ...]:
    found = []
    for line in lines:
        try:
            found.append(decode_line(line).receipt)
        except WireError:
            continue
    return tuple(found)


def _row(
    workspace: Workspace,
    device: Device,
    lock: Lock | None,
    lines: tuple[bytes, ...],
    receipts: tuple[Receipt, ...],
    seen: Observation | None,
    compared: Compared | None,
) -> DeviceRow:
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
        chain=f"line {wrong[0].line}: {wrong[0].reason}" if wrong else "",
        is_signed=key is not None and not wrong and last is not None and last.signing != "unsigned",
        last_result=last.result if last else "",
        last_time=last.wall_time if last else "",
        latencies=_latencies(device, committed),
    )


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


def _moment(receipt: Receipt, commits: tuple[Commit, ...]) -> Moment:
    return Moment(
        time=receipt.wall_time,
        device=receipt.device,
        result=receipt.result,
        from_generation=receipt.from_generation,
        to_generation=receipt.to_generation,
        digest=receipt.digest,
        road=receipt.road,
        reason=receipt.reason,
        commit=_before(receipt.wall_time, commits),
    )


def _before(time: str, commits: tuple[Commit, ...]) -> Commit | None:
    try:
        seconds = datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None
    place = bisect.bisect_right(commits, seconds, key=lambda c: c.time_s)
    return commits[place - 1] if place else None


def _commits(workspace: Workspace) -> tuple[Commit, ...]:
    """The site's newest commits, oldest first; none outside Git."""
    done = subprocess.run(
        ("git", "-C", str(workspace.site_dir), "log", f"-{MOST_COMMITS}",
         "--format=%H%x00%an%x00%ct%x00%s", "--", "."),
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        return ()
    found = []
    for line in done.stdout.decode(errors="replace").splitlines():
        digest, author, seconds, subject = line.split("\0", 3)
        found.append(Commit(digest=digest, author=author, time_s=int(seconds), subject=subject))
    return tuple(sorted(found, key=lambda c: c.time_s))


def _runs(journal: Journal) -> tuple[RunRow, ...]:
    return tuple(
        RunRow(
            number=run.number,
            who=run.who,
            started=run.started,
            finished=run.finished,
            exit_code=run.exit_code,
            counts=run.counts,
        )
        for run in journal.runs(at_most=20)
    )
