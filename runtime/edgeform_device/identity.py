"""Who this device is: the site and name it was enrolled as, and how services are run here."""

import hashlib
from dataclasses import dataclass
from typing import Any, Dict

from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, Refused
from edgeform_device.layout import Layout
from edgeform_wire import canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import schema_of

SCHEMA = "edgeform.device/1"
SERVICES = ("systemd", "supervisor")
# Without 0, 1, I, O: read aloud and compared by people.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True)
class Identity:
    """What enrolment wrote down.

    Args:
        services: who runs pipelines: `systemd`, or our own `supervisor`.
        run_dir: where sockets are. user: whom pipelines run as. root: where /proc and /sys are.
    """

    site: str
    device: str
    services: str
    run_dir: str
    user: str
    root: str

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self), schema=SCHEMA)

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())


def load(disk: Disk, layout: Layout) -> Identity:
    """Who this device was enrolled as.

    Raises:
        Refused: it was not. Corrupt: the file that says so cannot be read.
    """
    content = disk.read(layout.device)
    if content is None:
        raise Refused(
            "This device is not enrolled.",
            detail=f"{layout.device} does not exist.",
            hint="Enrol it from the controller:\n    edgeform enroll",
        )
    try:
        fields = schema_of(canonical.decode(content, "device.json"), SCHEMA, "device.json")
        found = Identity(
            site=fields.text("site"),
            device=fields.text("device"),
            services=fields.choice("services", SERVICES),
            run_dir=fields.text("run_dir"),
            user=fields.text("user"),
            root=fields.text("root"),
        )
        fields.done()
    except WireError as exc:
        raise Corrupt(
            "This device does not know who it is.",
            detail=f"{layout.device}: {exc}",
            hint="Enrol it again:\n    edgeform enroll",
        ) from exc
    return found


def short_code(root_digest: str, device_key: str) -> str:
    """Eight characters that stand for this root and this key, for two people to compare."""
    number = int.from_bytes(
        hashlib.sha256(f"{root_digest}\n{device_key}".encode()).digest()[:5], "big"
    )
    letters = "".join(_ALPHABET[number >> shift & 31] for shift in range(35, -5, -5))
    return letters[:4] + "-" + letters[4:]
