"""The keys that devices sign their receipts with, as they were at enrolment: `records/DEVICE.key.pem`."""

from pathlib import Path

from edgeform.cli.workspace import Workspace
from edgeform.errors import NotTrusted


def pinned_key_file(workspace: Workspace, device: str) -> Path:
    return workspace.records_dir / f"{device}.key.pem"


def pinned_key(workspace: Workspace, device: str) -> str | None:
    """The device's public key as it was when it was enrolled."""
    file = pinned_key_file(workspace, device)
    return file.read_text("ascii") if file.exists() else None


def pin_device_key(workspace: Workspace, device: str, key: str, *, replace: bool) -> bool:
    """Keep the device's public key; whether it was new.

    Raises:
        NotTrusted: another one is kept, and nobody said that it may be replaced.
    """
    before = pinned_key(workspace, device)
    if before == key:
        return False
    file = pinned_key_file(workspace, device)
    if before is not None and not replace:
        raise NotTrusted(
            "It has another device key than when it was enrolled: it was set up again, or it is another"
            " machine.",
            address=str(file),
            hint=f"If you set it up again yourself:\n    edgeform enroll -l {device} --replace-key",
        )
    workspace.records_dir.mkdir(exist_ok=True)
    partial = file.with_name(file.name + ".tmp")
    partial.write_text(key, encoding="ascii")
    partial.replace(file)
    return True
