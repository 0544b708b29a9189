"""OpenSSF Model Signing (OMS) v1.0: checking what came with a model, and writing it for others.

Stricter than the `model_signing` tool: every file must be signed (no `ignore_paths`), links and special files
are refused, and so are the old predicate and encoding. OMS says where a model came from; devices trust TUF.
Source: sigstore/model-transparency, docs/model_signing_format.md and src/model_signing/_signing.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from edgeform.errors import NotTrusted, UsageError
from edgeform.trust import oms_identity

SIGNATURE_NAME = "model.sig"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
MAX_BUNDLE_BYTES = 32 * 2**20
MAX_FILES = 100_000
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_NAME = re.compile(r"(?!/)(?!.*(^|/)\.{1,2}(/|$))(?!.*//)[^\x00-\x1f\x7f\\]{1,1024}\Z", re.DOTALL)
_HEX = re.compile(r"[0-9a-f]{64}\Z")


class SignatureRefused(NotTrusted):
    """Whatever is wrong with it, the model does not come in."""

    summary = "Signature not accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A folder that is what somebody signed.

    Args:
        by: the SHA-256 of the key, or the identity in the certificate.
    """

    by: str
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKey:
    """Trust in public keys (PEM, EC P-256, P-384 or P-521)."""

    pems: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByIdentity:
    """Trust in whoever a private authority calls by this name (an e-mail address or a URI)."""

    identity: str
    authority: bytes
    now: datetime


def verify(folder: Path, bundle: bytes, trusted: ByKey | ByIdentity, *, signature: Path) -> Signed:
    """What is signed, once the signature, every name and every byte of the folder are proven.

    Args:
        signature: the file that the bundle came from; it may lie in the folder and is not part of the model.

    Raises:
        SignatureRefused: says what does not hold.
    """
    envelope, material = _opened(bundle)
    payload, raw = envelope
    message = _encoded(payload)
    match trusted:
        case ByKey(pems=pems):
            by = _by_key(pems, raw, message)
        case ByIdentity():
            key = oms_identity.key_of(
                material, trusted.identity, trusted.authority, trusted.now, SignatureRefused
            )
            if not _holds(key, raw, message):
                raise SignatureRefused("The certificate's key did not make this signature.")
            by = trusted.identity
    wanted = _resources(payload)
    inside = dict(_measured(folder, besides=signature))
    _compare(wanted, inside)
    return Signed(by=by, files=len(inside))


def sign(folder: Path, key_pem: bytes, passphrase: bytes | None, *, name: str) -> bytes:
    """The bundle of a folder's files, as `model_signing verify key` accepts it.

    Raises:
        UsageError: the key does not open, or is of another kind.
    """
    key = _private(key_pem, passphrase)
    resources, root = [], hashlib.sha256()
    for path, digest in _measured(folder, besides=folder / SIGNATURE_NAME):
        resources.append({"algorithm": "sha256", "digest": digest, "name": path})
        root.update(bytes.fromhex(digest))
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [SIGNATURE_NAME],
    }
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root.hexdigest()}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    body = json.dumps(statement, sort_keys=True).encode()
    made = key.sign(_encoded(body), ec.ECDSA(_HASHES[key.curve.name]))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(public).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(body).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(made).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle).encode()


def _private(pem: bytes, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise UsageError(
            "The signing key does not open.",
            hint="It is a PEM file; its passphrase comes from EDGEFORM_OMS_PASSPHRASE.",
        ) from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise UsageError("The signing key is not EC P-256, P-384 or P-521.", hint=_MAKE)
    return key


_MAKE = "Make one with\n    openssl ecparam -name prime256v1 -genkey -noout -out oms.pem"


def _encoded(body: bytes) -> bytes:
    """DSSE v1's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def _opened(bundle: bytes) -> tuple[tuple[bytes, bytes], dict[str, Any]]:
    """((payload, signature), material); nothing of it is believed yet."""
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise SignatureRefused("The signature file is far too large.")
    try:
        value = json.loads(bundle)
        envelope, material = value["dsseEnvelope"], value["verificationMaterial"]
        if value["mediaType"] != MEDIA_TYPE or envelope["payloadType"] != PAYLOAD_TYPE:
            raise SignatureRefused("It is no bundle of version 0.3 with an in-toto statement.")
        (signature,) = envelope["signatures"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        raw = base64.b64decode(signature["sig"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error, RecursionError) as exc:
        raise SignatureRefused("It is no OMS signature, or a damaged one.") from exc
    if not isinstance(material, dict):
        raise SignatureRefused("It does not say how it can be verified.")
    return (payload, raw), material


def _by_key(pems: Iterable[bytes], raw: bytes, message: bytes) -> str:
    for pem in pems:
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise UsageError("The key given with --oms-key is no public key in PEM.") from exc
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
            raise SignatureRefused("The trusted key is not EC P-256, P-384 or P-521.", hint=_MAKE)
        if _holds(key, raw, message):
            canonical = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
    raise SignatureRefused(
        "None of the given keys made this signature.",
        hint="Ask whoever published the model for the right key, by another way than the model's.",
    )


def _holds(key: ec.EllipticCurvePublicKey, raw: bytes, message: bytes) -> bool:
    try:
        key.verify(raw, message, ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        return False
    return True


def _resources(payload: bytes) -> dict[str, str]:
    """Names and digests of a statement whose signature holds; parsed strictly all the same."""
    try:
        statement = json.loads(payload)
        predicate, (subject,) = statement["predicate"], statement["subject"]
        how = predicate["serialization"]
        if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
            raise SignatureRefused("It signs another kind of statement than OMS v1.0.")
        if (how["method"], how["hash_type"]) != ("files", "sha256") or how.get("allow_symlinks"):
            raise SignatureRefused(
                "Only files as a whole, by SHA-256 and without links, are accepted."
            )
        wanted: dict[str, str] = {}
        root = hashlib.sha256()
        for resource in predicate["resources"]:
            name, digest = resource["name"], resource["digest"]
            if resource["algorithm"] != "sha256" or not _HEX.match(digest):
                raise SignatureRefused(f"{name!r:.80} has no SHA-256.")
            if not _NAME.match(name) or name in wanted:
                raise SignatureRefused(f"It signs a name that no file has: {name!r:.80}.")
            wanted[name] = digest
            root.update(bytes.fromhex(digest))
        signed = subject["digest"]["sha256"]
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise SignatureRefused("The signed statement is damaged.") from exc
    if not wanted or root.hexdigest() != signed:
        raise SignatureRefused("Its digest is not that of the files it lists, or it lists none.")
    return wanted


def _measured(folder: Path, *, besides: Path) -> Iterator[tuple[str, str]]:
    """Every file of a folder with its digest, in the order of names; links and devices refused."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise SignatureRefused("A model is a folder, and no link to one.", address=str(folder))
    found = []
    for directory, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or path == besides:
                continue
            if not stat.S_ISREG(mode):
                raise SignatureRefused("It is a link, or no plain file.", address=str(path))
            found.append(path)
    if len(found) > MAX_FILES:
        raise SignatureRefused("It has too many files.", address=str(folder))
    for path in sorted(found, key=lambda p: p.relative_to(folder).as_posix()):
        yield path.relative_to(folder).as_posix(), _digest(path)


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        for chunk in iter(lambda: stream.read(2**20), b""):
            hasher.update(chunk)
    return hasher.hexdigest()


def _compare(wanted: dict[str, str], inside: dict[str, str]) -> None:
    for what, names in (
        ("is signed and not there", wanted.keys() - inside.keys()),
        ("is not signed", inside.keys() - wanted.keys()),
        ("is not what was signed", {n for n in inside if wanted.get(n, inside[n]) != inside[n]}),
    ):
        if names:
            more = f", and {len(names) - 1} more" if len(names) > 1 else ""
            raise SignatureRefused(
                f"{min(names)!r:.120} {what}{more}.",
                hint="Fetch the model again from whoever signed it.",
            )
