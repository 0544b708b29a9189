"""The device's own key: made here, used here, never leaving. ECDSA P-256, by `openssl` or `cryptography`.

There is no signing code of our own: where neither is present, the device says `unsigned`.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Optional

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout

OPENSSL, CRYPTOGRAPHY, UNSIGNED = "openssl", "cryptography", "unsigned"
TIMEOUT_S = 20.0
KEY, PUBLIC_KEY = "device.key", "device.pub"


@dataclass(frozen=True)
class Signer:
    """Signs with the device key; `kind` says with what, and goes into every receipt."""

    kind: str
    key_path: str

    def sign(self, message: bytes) -> Optional[bytes]:
        """The DER signature; None where nothing on this device can make one."""
        if self.kind == OPENSSL:
            return _run(("openssl", "dgst", "-sha256", "-sign", self.key_path), message)
        if self.kind == CRYPTOGRAPHY:
            return _sign_with_cryptography(self.key_path, message)
        return None


def find_signer(disk: Disk, layout: Layout) -> Signer:
    """The signer of an enrolled device; `unsigned` where it has no key or nothing to use it with."""
    path = layout.state(KEY)
    if not disk.exists(path):
        return Signer(UNSIGNED, path)
    return Signer(_means(), path)


def make_key(disk: Disk, layout: Layout) -> Optional[str]:
    """The device's public key as PEM, made now if there is none; None where none can be made."""
    path = layout.state(KEY)
    if not disk.exists(path):
        means = _means()
        pem = (
            _run(("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"))
            if means == OPENSSL
            else _make_with_cryptography()
            if means == CRYPTOGRAPHY
            else None
        )
        if pem is None:
            return None
        disk.write_file(path, pem, 0o600)
    public = disk.read(layout.state(PUBLIC_KEY))
    if public is None:
        public = _public_of(path)
        if public is None:
            return None
        disk.write_file(layout.state(PUBLIC_KEY), public, 0o644)
    return public.decode("ascii")


def _means() -> str:
    if shutil.which("openssl") is not None:
        return OPENSSL
    return CRYPTOGRAPHY if _cryptography() is not None else UNSIGNED


def _public_of(path: str) -> Optional[bytes]:
    if shutil.which("openssl") is not None:
        return _run(("openssl", "ec", "-in", path, "-pubout"))
    found = _cryptography()
    if found is None:
        return None
    with open(path, "rb") as stream:
        key = found.load_pem_private_key(stream.read(), password=None)
    encoded = key.public_key().public_bytes(
        found.Encoding.PEM, found.PublicFormat.SubjectPublicKeyInfo
    )
    return bytes(encoded)


def _run(command: "tuple[str, ...]", message: bytes = b"") -> Optional[bytes]:
    try:
        done = subprocess.run(
            command, input=message, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 and done.stdout else None


def _cryptography() -> Any:
    """`cryptography`'s serialization module where the device has it; the tool itself runs without site."""
    try:
        if sys.flags.no_site:
            import site  # noqa: PLC0415 - only now are the device's own packages wanted

            site.main()
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    except (ImportError, OSError):
        return None
    return serialization


def _make_with_cryptography() -> Optional[bytes]:
    serialization = _cryptography()
    if serialization is None:
        return None
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return bytes(encoded)


def _sign_with_cryptography(path: str, message: bytes) -> Optional[bytes]:
    serialization = _cryptography()
    if serialization is None:
        return None
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    with open(path, "rb") as stream:
        key = serialization.load_pem_private_key(stream.read(), password=None)
    return bytes(key.sign(message, ec.ECDSA(hashes.SHA256())))
