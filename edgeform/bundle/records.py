"""A device nobody can reach, as it last reported itself: `records/DEVICE.state.json`, for the next plan.

A plan made from it is exact as long as nobody else touched the device; the device compares the base itself
and refuses a stale plan. One that has never reported is taken for what its class says; it refuses what does
not fit.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from edgeform.domain.observed import Observation
from edgeform.domain.site import Device
from edgeform.errors import Corrupt
from edgeform.observe.parse import observation
from edgeform_device import p256
from edgeform_wire import bundle, canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of
from edgeform_wire.receipt import GENESIS

UNKNOWN_ROOM_BYTES = 1 << 50
"""Nobody knows how much is free there; the device does, and refuses before it copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a device said of itself, with the end of its chain of receipts at that moment.

    Args:
        findings_seq, findings_head: the end of its chain of findings; 0 and nothing where it has none.
        is_signed: whether it carries a signature; whether that holds is `signed_by`'s answer.
    """

    site: str
    device: str
    seq: int
    head: str
    findings_seq: int
    findings_head: str
    state: dict[str, Any]
    signature: bytes | None
    document: bytes

    @property
    def is_signed(self) -> bool:
        return self.signature is not None

    def signed_by(self, key: str) -> bool:
        """Whether the device's key made the signature."""
        if self.signature is None:
            return False
        value = canonical.decode(self.document, "report")["report"]
        return p256.verify(p256.load_public_key(key), self.signature, canonical.encode(value))

    @property
    def wall_time(self) -> str:
        facts = self.state.get("facts")
        found = facts.get("wall_time") if isinstance(facts, dict) else None
        return found if isinstance(found, str) else ""


def decode_report(document: bytes) -> Report:
    """The report of a `state.json`.

    Raises:
        WireError: not the agreed form.
    """
    outer = Fields(canonical.decode(document, "report"), "report")
    fields = schema_of(outer.object("report"), bundle.RETURN_SCHEMA, "report")
    text = outer.optional_text("signature")
    outer.done()
    found = Report(
        site=fields.text("site"),
        device=fields.text("device"),
        seq=fields.integer("seq"),
        head=fields.digest("head"),
        # An older tool says nothing of findings.
        findings_seq=fields.integer("findings_seq", default=0),
        findings_head=fields.optional_digest("findings_head") or GENESIS,
        state=fields.object("state"),
        signature=None if text is None else _signature(text),
        document=document,
    )
    fields.done()
    return found


def last_known(device: Device, document: bytes | None) -> Observation:
    """The device as its last report has it; without one, as its class says.

    Raises:
        Corrupt: the report is not what `bundle ingest` keeps.
    """
    if document is not None:
        try:
            state = decode_report(document).state
        except WireError as exc:
            raise Corrupt(
                f"The last report of {device.name} cannot be read: {exc}",
                address=f"records/{device.name}.state.json",
                hint="Take it back from Git, or bring the stick home again:\n    edgeform bundle ingest DIR",
            ) from exc
        return observation(device.name, 0, canonical.encode(state), b"")
    return observation(device.name, 0, json.dumps(_assumed(device)).encode(), b"")


def as_of(document: bytes | None) -> str:
    """What `last_known` goes by, for people."""
    if document is None:
        return "its class alone: it has never reported"
    found = decode_report(document)
    return f"what it reported at {found.wall_time}, after receipt {found.seq}"


def _assumed(device: Device) -> dict[str, Any]:
    hardware = device.hardware
    facts = {
        "arch": hardware.arch,
        "os_id": hardware.os.id,
        "os_version": hardware.os.version or "",
        "kernel": "",
        "python": hardware.python or "",
        "glibc": hardware.glibc or "",
        "machine": "",
        "hostname": device.name,
        "boot_id": "",
        "cpus": 1,
        "memory_bytes": 0,
        "disk_free_bytes": UNKNOWN_ROOM_BYTES,
        "disk_total_bytes": UNKNOWN_ROOM_BYTES,
        "has_systemd": True,
        "is_root": True,
        "clock": "rtc" if device.require_clock else "unknown",
        "wall_time": "",
        "accelerators": []
        if hardware.accelerator == "cpu"
        else [
            {
                "kind": hardware.accelerator,
                "bus_id": "",
                "driver": "",
                "node": "",
                "state": "ready",
            }
        ],
        "packages": {},
        "modules": [],
        "groups": [],
        "sysctl": {},
        "files": {},
    }
    return {"ok": True, "facts": facts}


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise WireError("report: signature is not base64") from exc
