"""What a device gives back where no controller can ask: receipts, state, own findings, its public key.

The receipts are the whole chain, so that a gap shows. The state is signed by the device key together with the
heads of the receipts and of the findings, so that a chain that was cut short shows too.
"""

import base64
from typing import Any, Dict, Set, Tuple

from edgeform_device import driftlog, generations, manifests, probe, receipts, signing
from edgeform_device import state as states
from edgeform_device.errors import DeviceError
from edgeform_device.records import State
from edgeform_device.session import Session
from edgeform_device.store import Store
from edgeform_wire import bundle, canonical, driverset
from edgeform_wire import finding as findings
from edgeform_wire.errors import WireError
from edgeform_wire.receipt import GENESIS, decode_line

MAX_CHAIN_BYTES = 256 * 1024 * 1024


def report(session: Session) -> Dict[str, bytes]:
    """The files to give back, by their names below `edgeform/`.

    Raises:
        DeviceError: the device is not enrolled, or its state cannot be read.
    """
    who = session.identity()
    chain, seq, head = _chain(session)
    signer = signing.find_signer(session.disk, session.layout)
    kept = driftlog.read(session.disk, session.layout)
    findings_seq, findings_head = findings.head_of(kept)
    state = dict(states.state(session, "sample"), facts=_facts(session), ok=True)
    value = {
        "schema": bundle.RETURN_SCHEMA,
        "site": who.site,
        "device": who.device,
        "seq": seq,
        "head": head,
        "findings_seq": findings_seq,
        "findings_head": findings_head,
        "state": state,
    }
    signature = signer.sign(canonical.encode(value))
    signed = {
        "report": value,
        "signature": None if signature is None else base64.b64encode(signature).decode("ascii"),
    }
    found = {
        bundle.return_name(who.device, "jsonl"): chain,
        bundle.return_name(who.device, "state.json"): canonical.encode(signed),
        bundle.return_name(who.device, "drift.json"): canonical.encode(
            {"schema": bundle.FINDINGS_SCHEMA, "kept": [one.to_json() for one in kept]}
        ),
    }
    key = session.disk.read(session.layout.state(signing.PUBLIC_KEY))
    if key is not None:
        found[bundle.return_name(who.device, "key.pem")] = key
    return found


def _facts(session: Session) -> Dict[str, Any]:
    """As a controller asks for them: packages that travelled here with the committed generation, and what its
    deployment has the device look for.
    """
    committed = State(session.disk, session.layout).committed()
    asked: Dict[str, Set[str]] = {"packages": _driver_packages(session)}
    if committed is not None:
        for kind, found in generations.asks_of(session.disk, session.layout, committed.generation):
            asked.setdefault(kind, set()).update(found)
    names = {kind: sorted(found)[: probe.MAX_QUESTIONS] for kind, found in asked.items() if found}
    questions = probe.checked_questions(names)
    return probe.probe(questions, session.root, session.layout.prefix)


def _driver_packages(session: Session) -> Set[str]:
    committed = State(session.disk, session.layout).committed()
    if committed is None:
        return set()
    blobs = Store(session.layout, session.disk)
    found: Set[str] = set()
    try:
        content = generations.read(session.disk, session.layout, committed.generation)
        for ref in content.artifacts:
            if ref.kind == "driver":
                artifact = manifests.read_artifact(blobs, ref.digest)
                found |= {p.name for p in driverset.packages_of(artifact.metadata)}
    except (DeviceError, WireError):
        return found  # it is reported as drift; what can be said is said
    return found


def _chain(session: Session) -> Tuple[bytes, int, str]:
    """All receipts, the last one's number, and what the next one would name as the one before it."""
    lines = []
    seq, head, size = 0, GENESIS, 0
    while size < MAX_CHAIN_BYTES:
        more = receipts.since(session.layout, seq)
        if not more:
            break
        last = decode_line(more[-1]).receipt
        if last.seq <= seq:
            break
        seq, head = last.seq, last.chain_digest
        lines += more
        size += sum(map(len, more))
    return b"".join(line + b"\n" for line in lines), seq, head
