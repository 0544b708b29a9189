"""Sealing secrets to one device's key, for the roads on which nobody can hand a value over.

`openssl cms` does it (see `edgeform_wire.sealed`): the message wants a certificate to name its recipient, so
the key gets one that is made here, signed by a key that is thrown away, and proves nothing.
"""

import shutil
import subprocess
import tempfile
from datetime import UTC, datetime

from edgeform.errors import NotTrusted, OutsideFailed
from edgeform.secrets.value import SecretValue

TIMEOUT_S = 20.0
_SEAL = (
    *("openssl", "cms", "-encrypt", "-binary", "-outform", "DER"),
    *("-aes-256-cbc", "-aes256-wrap"),
)
_KEY_OPTIONS = ("-keyopt", "ecdh_kdf_md:sha256")
"""They count for the recipient named before them."""


def seal(value: SecretValue, public_key: str) -> bytes:
    """A CMS message that only the holder of the device's private key opens.

    Raises:
        NotTrusted: that is no P-256 public key. OutsideFailed: openssl is missing or fails.
    """
    certificate = _certificate(public_key)
    if shutil.which("openssl") is None:
        raise OutsideFailed(
            "openssl is not on this machine, and secrets are sealed with it.",
            hint="Install it:\n    apt-get install openssl",
        )
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate)
        file.flush()
        done = subprocess.run(
            (*_SEAL, "-recip", file.name, *_KEY_OPTIONS),
            input=value.reveal(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode or not done.stdout:
        # What openssl says is about the certificate; it never repeats its input.
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise OutsideFailed(f"openssl could not seal a secret: {said}")
    return done.stdout


def _certificate(public_key: str) -> bytes:
    from cryptography import x509  # noqa: PLC0415 - most runs seal nothing
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    try:
        key = serialization.load_pem_public_key(public_key.encode("ascii"))
    except ValueError as exc:
        raise NotTrusted(f"The device's key cannot be read: {exc}") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise NotTrusted("The device's key is no P-256 key.")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a device of edgeform")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)
