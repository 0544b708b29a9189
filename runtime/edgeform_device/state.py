"""Everything this device knows about itself, in one answer: what a plan, a status and a drift check read."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from edgeform_device import backend, boots, drift, generations, receipts, toolfile
from edgeform_device.durable import Disk
from edgeform_device.errors import DeviceError
from edgeform_device.identity import Identity
from edgeform_device.layout import Layout
from edgeform_device.records import Committed, State, Txn
from edgeform_device.session import Session
from edgeform_device.version import STATE_FORMATS, VERSION
from edgeform_wire import canonical
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError
from edgeform_wire.vitals import vitals, worries

if TYPE_CHECKING:
    from edgeform_device.ports import Services

MAX_ROLES = 200


def state(session: Session, level: str) -> Dict[str, Any]:
    """The answer of the verb `state`, but for the facts.

    Args:
        level: how thoroughly files are compared with the manifest: `none`, `sample` or `full`.

    Raises:
        Refused: not enrolled. Corrupt: a state file cannot be read.
    """
    disk, layout = session.disk, session.layout
    who = session.identity()
    record = State(disk, layout)
    committed = record.committed()
    hands = record.needs_hands()
    newest = receipts.last(disk, layout)
    return {
        "site": who.site,
        "device": who.device,
        "services": who.services,
        "tool": {
            "version": VERSION,
            "digest": toolfile.running_digest(),
            "state_formats": list(STATE_FORMATS),
        },
        "generation": _generation(disk, layout, committed),
        "transaction": _transaction(record),
        "quarantine": [
            dict(vars(entry), digest=digest)
            for digest, entry in sorted(record.quarantine().items())
        ],
        "health": _health(session, who, committed, is_undecided=record.txn() is not None),
        "drift": [found.to_json() for found in drift.drift(disk, layout, level)],
        "trust": _trust(disk, layout),
        "receipts": {"last_seq": 0 if newest is None else newest.seq},
        "needs_hands": "" if hands is None else hands.reason,
        "vitals": _vitals(session, who),
    }


def _vitals(session: Session, who: Identity) -> Dict[str, Any]:
    """How the machine is, and what of it a person should look at."""
    counted = boots.read(session.disk, session.layout)
    found = vitals(who.root, None if counted is None else counted.unclean)
    return dict(found.to_json(), worries=list(worries(found)))


def _health(
    session: Session, who: Identity, committed: Optional[Committed], *, is_undecided: bool
) -> List[Dict[str, Any]]:
    """How each pipeline of the committed generation is, as its service and its socket say."""
    if committed is None:
        return []
    try:
        content = generations.read(session.disk, session.layout, committed.generation)
    except DeviceError:
        return []  # `drift` says what is wrong with the manifest
    services = backend.services_of(session, who)
    number = committed.generation
    wanted = {
        use.name: generations.pipeline_file(content, use, number).content_digest
        for use in content.pipelines
    }
    return [
        _health_of(services, name, "" if is_undecided else wanted[name], number) for name in wanted
    ]


def _health_of(services: "Services", name: str, wanted: str, number: int) -> Dict[str, Any]:
    """How a pipeline is, and of which generation the model is that answers.

    Args:
        wanted: what must answer; empty while another generation is tried, or where that is not asked.
    """
    try:
        found = services.glance(name)
    except DeviceError as exc:
        return {"name": name, "state": "unknown", "detail": exc.summary}
    if found.is_ready and wanted and found.content not in ("", wanted):
        said = f"it answers for generation {found.generation}, and {number} is committed"
        return {
            "name": name,
            "state": "failed",
            "detail": said,
            "generation": found.generation,
        }
    if found.is_ready:
        return {
            "name": name,
            "state": "active",
            "detail": found.detail,
            "generation": found.generation,
        }
    if not found.is_active:
        is_wanted = name in services.known()
        return {
            "name": name,
            "state": "failed" if is_wanted else "stopped",
            "detail": found.detail,
        }
    state = "starting" if found.phase == "loading" else "failed" if found.phase else "unknown"
    return {"name": name, "state": state, "detail": found.detail or f"phase {found.phase!r}"}


def _generation(disk: Disk, layout: Layout, committed: Optional[Committed]) -> Dict[str, Any]:
    try:
        current = generations.current(disk, layout) or 0
    except DeviceError:
        current = 0  # `drift` says what the link is
    found: Dict[str, Any] = {
        "current": current,
        "committed": 0,
        "digest": None,
        "manifest": None,
        "deployment": 0,
        "kept": list(generations.numbers(disk, layout)),
    }
    if committed is None:
        return found
    found.update(
        committed=committed.generation,
        digest=committed.digest,
        deployment=committed.deployment,
        history=list(committed.history),
    )
    content = disk.read(layout.manifest(committed.generation))
    if content is not None and digests.of_bytes(content) == committed.digest:
        found["manifest"] = canonical.decode(content, "manifest")
    return found


def _transaction(record: State) -> Optional[Dict[str, Any]]:
    """The unfinished transaction, or the one that has been asked for; None when nothing is under way."""
    lease = record.lease()
    txn: Optional[Txn] = record.txn() or record.committing() or record.reverting()
    if txn is None and lease is None:
        return None
    phase = (
        "starting"
        if txn is None
        else "undecided"
        if record.txn() is not None
        else "committing"
        if record.committing() is not None
        else "reverting"
    )
    return {
        "id": txn.id if txn is not None else lease.transaction if lease is not None else "",
        "phase": phase,
        "to_generation": 0 if txn is None else txn.to_generation,
        "who": txn.who if txn is not None else lease.who if lease is not None else "",
        "until": "" if lease is None else f"{lease.until_s:.0f} s of CLOCK_BOOTTIME",
    }


def _trust(disk: Disk, layout: Layout) -> Dict[str, Any]:
    """Which root is obeyed and the versions seen, from files that were verified when they were stored."""
    root = disk.read(layout.under("trust", "metadata", "root.json"))
    versions: Dict[str, int] = {}
    profile = ""
    for name in disk.names(layout.under("trust", "metadata"))[:MAX_ROLES]:
        if not name.endswith(".json"):
            continue
        try:
            content = disk.read(layout.under("trust", "metadata", name)) or b""
            signed = canonical.decode(content, name)["signed"]
            versions[name[: -len(".json")]] = int(signed["version"])
            if name == "root.json":
                profile = str(signed.get("x-edgeform-profile", ""))
        except (WireError, KeyError, TypeError, ValueError):
            versions[name[: -len(".json")]] = 0
    return {
        "root_digest": None if root is None else digests.of_bytes(root),
        "root_version": versions.get("root", 0),
        "versions": versions,
        "profile": profile,
    }
