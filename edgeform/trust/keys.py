"""Signing keys by URI, and the encrypted files they live in by default.

A key is named by where it is: `file:keys/root-1.pem` today; Vault transit and PKCS#11 are further
schemes for the key ring (keyring.py). Key files are PKCS#8 encrypted with scrypt and AES-256, so that a
copied folder is not a copied key; `openssl pkey -in FILE` reads them. A passphrase is asked for when
a key is needed, held no longer, and never printed.
"""

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from edgeform.errors import NotTrusted, UsageError
from edgeform.trust import der

Passphrase = Callable[[], bytes]
"""Asked when a key file is opened; the command line decides where it comes from."""

Randomness = Callable[[int], bytes]
"""n -> n unpredictable bytes; `secrets.token_bytes` outside tests."""

FILE_SCHEME = "file:"
# scrypt at 16 MiB, five times over: a row of OWASP's password storage advice that stays below the
# 32 MiB that openssl allows while reading PKCS#8.
SCRYPT_N = 2**14
SCRYPT_R = 8
SCRYPT_P = 5
SCRYPT_P_DEVELOPMENT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key as others see it: its TUF key id, its PEM, and the URI where its secret half is."""

    key_id: str
    pem: str
    uri: str

    @property
    def short_id(self) -> str:
        return self.key_id[:12]


def generate_key(
    file: Path,
    passphrase: Passphrase,
    *,
    uri: str = "",
    random: Randomness = secrets.token_bytes,
    scrypt_p: int = SCRYPT_P,
) -> PublicKey:
    """A new P-256 key in an encrypted file that was not there before.

    Raises:
        UsageError: the file exists, or the passphrase is empty.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    content = _encrypted_pem(private, passphrase(), random, scrypt_p)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise UsageError(
            f"{file} exists. A key is never overwritten: what it signed would be orphaned.",
            hint="Choose another file name.",
        ) from exc
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return _public(CryptoSigner(private), uri or f"{FILE_SCHEME}{file}")


def public_key_from_pem(pem: bytes, uri: str = "") -> PublicKey:
    """The key that somebody else holds, from its public PEM.

    Raises:
        NotTrusted: not a P-256 public key.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError as exc:
        raise NotTrusted(f"Not a public key in PEM form: {exc}", address=uri) from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise NotTrusted(
            "Not an ECDSA P-256 key: devices accept no other kind.",
            address=uri,
            hint="Make one with:\n    edgeform trust keygen FILE",
        )
    tuf_key = SSlibKey.from_crypto(key)
    return PublicKey(key_id=tuf_key.keyid, pem=str(tuf_key.keyval["public"]), uri=uri)


def open_key_file(file: Path, passphrase: Passphrase) -> CryptoSigner:
    """The signer in an encrypted key file.

    Raises:
        UsageError: no such file, not encrypted, or the passphrase is wrong.
        NotTrusted: others may read the file, or its key is of another kind.
    """
    try:
        mode = file.stat().st_mode
        content = file.read_bytes()
    except OSError as exc:
        raise UsageError(f"The key file cannot be read: {exc.strerror}", address=str(file)) from exc
    if stat.S_IMODE(mode) & 0o077:
        raise NotTrusted(
            f"Others may read this key file (mode {stat.S_IMODE(mode):04o}).",
            address=str(file),
            hint=f"Consider the key known to them. If it is not:\n    chmod 600 {file}",
        )
    if b"ENCRYPTED PRIVATE KEY" not in content:
        raise UsageError(
            "The key file is not an encrypted PKCS#8 PEM.",
            address=str(file),
            hint=f"Encrypt it:\n    openssl pkcs8 -topk8 -scrypt -in {file} -out {file}.new",
        )
    try:
        private = load_pem_private_key(content, passphrase())
    except ValueError:
        # The library's own text adds nothing, and a chained trace might hold the passphrase.
        raise UsageError(
            "The passphrase does not open this key file, or the file is damaged.",
            address=str(file),
            hint="Give the right one in EDGEFORM_TRUST_PASSPHRASE, or in a file of mode 0600.",
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(
        private.curve, ec.SECP256R1
    ):
        raise NotTrusted("Not an ECDSA P-256 key: devices accept no other kind.", address=str(file))
    return CryptoSigner(private)


def _public(signer: CryptoSigner, uri: str) -> PublicKey:
    key = signer.public_key
    return PublicKey(key_id=key.keyid, pem=str(key.keyval["public"]), uri=uri)


def _encrypted_pem(
    private: ec.EllipticCurvePrivateKey, passphrase: bytes, random: Randomness, scrypt_p: int
) -> bytes:
    """PKCS#8 under PBES2 with scrypt: what `openssl pkcs8 -topk8 -scrypt` writes.

    `cryptography` itself writes PBKDF2 with 2048 rounds (46.0 to 50.0, tried): a passphrase would
    fall in hours. It reads scrypt, and so does openssl.
    """
    if not passphrase:
        raise UsageError(
            "The passphrase for the keys is empty.",
            hint="Give one in EDGEFORM_TRUST_PASSPHRASE, or in a file of mode 0600.",
        )
    salt, vector = random(16), random(16)
    key = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=scrypt_p).derive(passphrase)
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    cipher_text = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    return der.encrypted_pkcs8_pem(
        cipher_text, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=scrypt_p, vector=vector
    )
