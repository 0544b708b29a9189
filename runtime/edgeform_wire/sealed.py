"""Secrets that travel without a connection: sealed to one device's key, and signed by the site's role.

Each value is a CMS EnvelopedData (RFC 5652) to the device's P-256 key: ECDH with the SHA-256 key derivation
of SEC 1 (RFC 5753), AES-256 key wrap, AES-256-CBC. That is what every `openssl` since 1.0.2 opens;
authenticated encryption in CMS needs 3.0, and is not missed: nothing is opened that is not in a document
that TUF vouches for.
"""

import base64
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from edgeform_wire import artifact, canonical
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.sealed/1"
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class SealedSecret:
    """One secret: its name, the HMAC that was planned with, the CMS message that holds its value."""

    name: str
    hmac: str
    message: bytes

    def to_json(self) -> Dict[str, Any]:
        text = base64.b64encode(self.message).decode("ascii")
        return {"name": self.name, "hmac": self.hmac, "message": text}


@dataclass(frozen=True)
class Sealed:
    """One device's sealed secrets. `key` is the digest of the public key (PEM) that they are sealed to."""

    site: str
    device: str
    key: str
    secrets: Tuple[SealedSecret, ...]

    @property
    def target_path(self) -> str:
        return target_path(self.site, self.device)

    def find(self, name: str, hmac: str) -> Optional[SealedSecret]:
        """The secret of that name, when it is the one that was planned with."""
        return next((s for s in self.secrets if (s.name, s.hmac) == (name, hmac)), None)

    def encoded(self) -> bytes:
        return canonical.encode(
            {
                "schema": SCHEMA,
                "site": self.site,
                "device": self.device,
                "key": self.key,
                "secrets": [s.to_json() for s in sorted(self.secrets, key=lambda s: s.name)],
            }
        )


def target_path(site: str, device: str) -> str:
    """Beside the deployment, whose name ends in `.json` whatever the device is called."""
    return f"sites/{site}/{device}.sealed"


def key_digest(public_key: str) -> str:
    return digests.of_bytes(public_key.encode("ascii"))


def decode(document: bytes) -> Sealed:
    """The sealed secrets of a target's bytes.

    Raises:
        WireError: not the agreed form.
    """
    fields = schema_of(canonical.decode(document, "sealed secrets"), SCHEMA, "sealed")
    found = Sealed(
        site=artifact.check_segment(fields.text("site"), "sealed.site"),
        device=artifact.check_segment(fields.text("device"), "sealed.device"),
        key=fields.digest("key"),
        secrets=fields.each("secrets", _secret),
    )
    fields.done()
    return found


def _secret(value: Any, what: str) -> SealedSecret:
    fields = Fields(value, what)
    name, hmac = artifact.check_segment(fields.text("name"), what), fields.text("hmac")
    text = fields.text("message")
    fields.done()
    try:
        return SealedSecret(name, hmac, base64.b64decode(text, validate=True))
    except ValueError as exc:
        raise WireError(f"{what}: message is not base64") from exc
