"""SSH keys of a lab: one for its user, one per device; made here so that no ssh program is needed."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def ensure_key(path: Path, *, comment: str) -> str:
    """The public half ("ssh-ed25519 AAAA... comment") of the Ed25519 key at `path`, made if absent."""
    public = path.with_name(f"{path.name}.pub")
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        public.write_text(f"{line} {comment}\n")
        # Private from its first byte: created with its mode, never widened or narrowed later.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(private)
    return public.read_text().strip()


def known_hosts_line(host: str, port: int, public: str) -> str:
    """The line that pins a device's key, as OpenSSH writes it."""
    name = host if port == 22 else f"[{host}]:{port}"
    return f"{name} {' '.join(public.split()[:2])}"
