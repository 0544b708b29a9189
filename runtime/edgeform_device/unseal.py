"""Sealed secrets that came with a signed deployment: opened with the device key, by `openssl`, and kept.

Values go from one pipe into the next. Nothing is opened before the document was vouched for by the site's
role, and only what the deployment itself asks for, value by value.
"""

import shutil
import subprocess
from typing import Dict, Optional

from edgeform_device import secrets, signing
from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.layout import Layout
from edgeform_wire import sealed as wire
from edgeform_wire.generation import Generation
from edgeform_wire.sealed import Sealed, SealedSecret

TIMEOUT_S = 20.0


def planned(sealed: Optional[Sealed], content: Generation) -> Dict[str, str]:
    """What `open_all` will have brought of what the generation asks for: names and planned HMACs."""
    if sealed is None:
        return {}
    return {u.name: u.hmac for u in content.secrets if sealed.find(u.name, u.hmac) is not None}


def open_all(
    disk: Disk, layout: Layout, sealed: Optional[Sealed], content: Generation
) -> "tuple[str, ...]":
    """Keep every sealed secret that the generation asks for and that is not here yet; their names.

    Raises:
        Refused: it is sealed to another key, or nothing here opens it.
    """
    wanted = planned(sealed, content)
    present = {s.name: s.planned for s in secrets.listed(disk, layout)} if wanted else {}
    opened = []
    for name, hmac in sorted(wanted.items()):
        found = None if sealed is None else sealed.find(name, hmac)
        if sealed is None or found is None or present.get(name) == hmac:
            continue
        _check_key(disk, layout, sealed, name)
        secrets.put(disk, layout, name, _opened(layout, found), hmac)
        opened.append(name)
    return tuple(opened)


def _check_key(disk: Disk, layout: Layout, sealed: Sealed, name: str) -> None:
    own = disk.read(layout.state(signing.PUBLIC_KEY))
    if own is None or wire.key_digest(own.decode("ascii", "replace")) != sealed.key:
        raise Refused(
            f"Secret {name} is sealed to another key than this device's.",
            detail="The site knows another key for this device than the one it has now."
            if own is not None
            else "This device has no key of its own: nothing here could make one when it was enrolled.",
            hint="Take its key home and pin it, then publish again:\n"
            "    edgeform bundle ingest DIR --accept-key DEVICE=CODE",
        )


def _opened(layout: Layout, found: SealedSecret) -> bytes:
    if shutil.which("openssl") is None:
        raise Refused(
            f"Secret {found.name} is sealed, and nothing on this device can open it.",
            detail="Sealed secrets are opened with openssl.",
            hint="Install openssl on the device, or deliver the secret over SSH:\n    edgeform apply",
        )
    command = ("openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey")
    try:
        done = subprocess.run(
            (*command, layout.state(signing.KEY)),
            input=found.message,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise Refused(f"Secret {found.name} cannot be opened: {type(exc).__name__}.") from exc
    if done.returncode or not done.stdout:
        raise Refused(
            f"Secret {found.name} cannot be opened with this device's key.",
            hint="Publish again, and make the stick anew:\n    edgeform bundle create --to DIR",
        )
    return done.stdout
