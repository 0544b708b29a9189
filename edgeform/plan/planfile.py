"""A plan as bytes, and back: canonical JSON, schema `edgeform.plan/1` (schemas/plan.schema.json).

Any plan of this major version can be read and shown, however stale it is; only a device can tell
whether it is still true. A plan holds no secret and nothing that tells two secrets apart.
"""

import hashlib
import json
import typing
from dataclasses import fields
from typing import Any

from edgeform.errors import Corrupt, Stale
from edgeform.plan.codec import name_of, value_json, value_of
from edgeform.plan.plan import DevicePlan, Plan
from edgeform_wire import canonical
from edgeform_wire.errors import WireError

SCHEMA = "edgeform.plan/1"
MINOR = 0
"""Raised when a field is added; a reader leaves out what it does not know."""

MAX_BYTES = 256 * 1024 * 1024
"""A plan of 100,000 devices has some 60 MB; what is larger was not written by us."""

_SITUATIONS = {name_of(kind): kind for kind in typing.get_args(DevicePlan)}
_HEAD = tuple(f.name for f in fields(Plan) if f.name != "devices")


def encode(plan: Plan) -> bytes:
    """The canonical bytes of the plan file."""
    return canonical.encode(to_json(plan))


def digest(plan: Plan) -> str:
    """What a deployment names as the plan it was made from: the digest of the plan file's bytes."""
    return canonical.digest_of(to_json(plan))


def to_json(plan: Plan) -> dict[str, Any]:
    summary = plan.summary
    head = {name: getattr(plan, name) for name in _HEAD}
    return head | {
        "schema": SCHEMA,
        "minor": MINOR,
        "devices": [device_json(device) for device in plan.devices],
        "summary": value_json(summary),
    }


def device_json(device: DevicePlan) -> dict[str, Any]:
    """One device's line of the plan; also what `plan --json` prints."""
    found: dict[str, Any] = value_json(device)
    return {"situation": name_of(type(device))} | found


def decode(document: bytes) -> Plan:
    """The plan of a file's bytes.

    Raises:
        Stale: a major version that this edgeform does not read.
        Corrupt: not a plan at all, or a damaged one.
    """
    if len(document) > MAX_BYTES:
        raise Corrupt(f"The plan has {len(document)} bytes, more than {MAX_BYTES}.")
    try:
        value = json.loads(document, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as exc:
        raise Corrupt(
            f"The plan file is not JSON: {exc}",
            hint="Make a new one:\n    edgeform plan --out plan.json",
        ) from exc
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        if isinstance(schema, str) and schema.startswith("edgeform.plan/"):
            raise Stale(
                f"The plan follows {schema}; this edgeform reads {SCHEMA}.",
                hint="Make a new one:\n    edgeform plan --out plan.json",
            )
        raise Corrupt("The file is JSON, but no plan of edgeform.", hint="Was it another file?")
    try:
        return _plan(value)
    except WireError as exc:
        raise Corrupt(
            f"The plan file is damaged or newer than this edgeform: {exc}",
            hint="Make a new one:\n    edgeform plan --out plan.json",
        ) from exc


def digest_of_bytes(document: bytes) -> str:
    """The digest of a plan file as it lies there, for comparison with a deployment's."""
    return "sha256:" + hashlib.sha256(document).hexdigest()


def _plan(value: dict[str, Any]) -> Plan:
    head = {}
    for name in _HEAD:
        text = value.get(name)
        if not isinstance(text, str):
            raise WireError(f"plan.{name}: expected text, got {text!r:.80}")
        head[name] = text
    devices = value.get("devices")
    if not isinstance(devices, list):
        raise WireError("plan.devices: expected a list")
    found = tuple(_device(item, f"plan.devices[{n}]") for n, item in enumerate(devices))
    names = [device.device for device in found]
    if len(set(names)) != len(names):
        raise WireError("plan.devices: a device stands there twice")
    return Plan(**head, devices=found)


def _device(value: Any, what: str) -> DevicePlan:
    if not isinstance(value, dict):
        raise WireError(f"{what} is not an object")
    kind = _SITUATIONS.get(str(value.get("situation")))
    if kind is None:
        raise WireError(f"{what}: situation {value.get('situation')!r:.80} is not known here")
    return typing.cast("DevicePlan", value_of(kind, value, what))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found
