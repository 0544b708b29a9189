"""Secrets: written once from standard input, handed to services, never shown again.

A device tells of a secret its name and an HMAC made with a key of its own, so the same value on two devices
looks different. Beside it stands what the controller planned with (its own HMAC, by the site's key), so
that a deployment made for another value is refused.
"""

import hashlib
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, Refused, Usage
from edgeform_device.layout import ROOT_PREFIX, Layout
from edgeform_wire import artifact, canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.secrets/1"
KEY, INDEX = "secrets.key", "secrets.json"
MAX_BYTES = 512 * 1024
MAX_HMAC = 200
TIMEOUT_S = 20.0
PLAIN, SEALED = "plain", "systemd-creds"


@dataclass(frozen=True)
class Secret:
    """A secret that is here: how it is kept, where, and HMACs of its value. Never the value.

    Args:
        planned: the HMAC that the manifest should hold for it; empty where nobody said.
    """

    name: str
    hmac: str
    kept: str
    planned: str
    path: str

    def to_json(self) -> Dict[str, Any]:
        return {"name": self.name, "hmac": self.hmac, "kept": self.kept, "planned": self.planned}


def make_key(disk: Disk, layout: Layout) -> None:
    """Make the key of this device's HMACs, if there is none."""
    if not disk.exists(layout.state(KEY)):
        disk.write_file(layout.state(KEY), os.urandom(32), 0o600)


def put(disk: Disk, layout: Layout, name: str, value: bytes, planned: str = "") -> Secret:
    """Keep a secret's value, sealed to the machine where systemd can do that, else readable by us alone.

    Raises:
        Usage: the name is outside the grammar, or the value is empty or too large.
        Refused: the device is not enrolled.
    """
    _check_name(name)
    if not planned.isprintable() or len(planned) > MAX_HMAC:
        raise Usage("--hmac is not an HMAC.")
    if not 0 < len(value) <= MAX_BYTES:
        raise Usage(f"A secret is 1 to {MAX_BYTES} bytes; this one is {len(value)}.")
    import hmac  # noqa: PLC0415 - only with a value at hand

    mac = hmac.new(_key(disk, layout), value, hashlib.sha256).hexdigest()
    sealed = _seal(name, value) if _can_seal(layout) else None
    kept = PLAIN if sealed is None else SEALED
    index = _index(disk, layout)
    disk.mkdir(layout.secrets_dir, 0o700)
    # The value first: an index that names an HMAC is never ahead of what is kept.
    disk.write_file(layout.secret(name), value if sealed is None else sealed, 0o600)
    index[name] = {"hmac": mac, "kept": kept, "planned": planned}
    _write_index(disk, layout, index)
    return Secret(name, mac, kept, planned, layout.secret(name))


def listed(disk: Disk, layout: Layout) -> List[Secret]:
    """The secrets that are here, by name."""
    return [
        Secret(name, entry["hmac"], entry["kept"], entry["planned"], layout.secret(name))
        for name, entry in sorted(_index(disk, layout).items())
        if disk.exists(layout.secret(name))
    ]


def is_sealed(disk: Disk, layout: Layout, name: str) -> bool:
    """Whether a secret is sealed to the machine, so that only systemd can open it for a service."""
    return _index(disk, layout).get(name, {}).get("kept") == SEALED


def drop(disk: Disk, layout: Layout, name: str) -> bool:
    """Forget a secret; False where there was none."""
    _check_name(name)
    index = _index(disk, layout)
    known = index.pop(name, None) is not None
    if known:
        _write_index(disk, layout, index)
    return disk.remove(layout.secret(name)) or known


def _check_name(name: str) -> None:
    try:
        artifact.check_segment(name, "secret")
    except WireError as exc:
        raise Usage("That is no name of a secret.", detail=str(exc)) from exc


def _key(disk: Disk, layout: Layout) -> bytes:
    key = disk.read(layout.state(KEY))
    if key is None or len(key) != 32:
        raise Refused(
            "This device has no key for secrets.",
            detail="It is made when the device is enrolled.",
            hint="Enrol it from the controller:\n    edgeform enroll",
        )
    return key


def _index(disk: Disk, layout: Layout) -> Dict[str, Dict[str, str]]:
    content = disk.read(layout.state(INDEX))
    if content is None:
        return {}
    try:
        fields = schema_of(canonical.decode(content, INDEX), SCHEMA, INDEX)
        found = fields.object("secrets")
        fields.done()
        return {name: _entry(value, name) for name, value in found.items()}
    except WireError as exc:
        raise Corrupt(
            "The index of secrets cannot be read.",
            detail=f"{layout.state(INDEX)}: {exc}",
            hint="Remove that file and deliver the secrets again:\n    edgeform apply",
        ) from exc


def _entry(value: Any, name: str) -> Dict[str, str]:
    fields = Fields(value, name)
    found = {key: fields.text(key) for key in ("hmac", "kept", "planned")}
    fields.done()
    return found


def _write_index(disk: Disk, layout: Layout, index: Dict[str, Dict[str, str]]) -> None:
    content = canonical.encode({"schema": SCHEMA, "secrets": index})
    disk.write_file(layout.state(INDEX), content, 0o600)


def _can_seal(layout: Layout) -> bool:
    # Only services of the system manager are given sealed credentials, and those live in the root prefix.
    import shutil  # noqa: PLC0415 - reads every compression library there is

    return layout.prefix == ROOT_PREFIX and shutil.which("systemd-creds") is not None


def _seal(name: str, value: bytes) -> Optional[bytes]:
    """The value sealed by systemd-creds; None where it cannot (no host key, too old)."""
    import subprocess  # noqa: PLC0415 - only to seal

    try:
        done = subprocess.run(
            ("systemd-creds", "encrypt", "--name=" + name, "-", "-"),
            input=value,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 and done.stdout else None
