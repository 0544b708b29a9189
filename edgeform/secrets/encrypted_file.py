"""The encrypted secrets file of a site: fit for Git, opened by one passphrase.

A JSON envelope around AES-256-GCM under a scrypt key; the envelope's own fields are authenticated, so
no one can weaken them. Inside: the site's HMAC key and the secrets by name. Every write encrypts the
whole file anew, under a new salt and a new nonce, beside the old one, and renames it.
"""

import base64
import binascii
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgeform.errors import UsageError
from edgeform.secrets.errors import SecretFileDamaged, SecretMissing
from edgeform.secrets.references import KEY_PATTERN, is_key
from edgeform.secrets.value import SecretValue

SCHEMA = "edgeform.secrets/1"
CIPHER = "aes-256-gcm"
KDF = "scrypt"
# 128 MiB of memory and about 0.3 s: OWASP's first choice for scrypt.
SCRYPT_N = 2**17
SCRYPT_R = 8
SCRYPT_P = 1
# A file from elsewhere must not make us compute for hours or take all memory.
_MAX_N, _MAX_R, _MAX_P = 2**18, 16, 4
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_VALUE_BYTES = 64 * 1024

Passphrase = Callable[[], SecretValue]
Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    site_key: SecretValue
    values: Mapping[str, SecretValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsFile:
    """A secrets file at a path, whether or not it exists yet.

    Args:
        passphrase: asked for each time the file is opened or written.
        scrypt_n: cost of new files; a power of two.
    """

    file: Path
    passphrase: Passphrase
    random: Randomness = secrets.token_bytes
    scrypt_n: int = SCRYPT_N

    def names(self) -> tuple[str, ...]:
        """The names of all secrets in the file, sorted.

        Raises:
            SecretMissing: there is no such file. SecretFileDamaged: it does not open.
        """
        return tuple(sorted(self._read().values))

    def everything(self) -> Mapping[str, SecretValue]:
        """All secrets by name, for one opening of the file: the key derivation is slow on purpose."""
        return self._read().values

    def get(self, name: str) -> SecretValue:
        """One secret.

        Raises:
            SecretMissing: no such file, or no such name in it. SecretFileDamaged: it does not open.
        """
        return self.pick(self.everything(), name)

    def pick(self, values: Mapping[str, SecretValue], name: str) -> SecretValue:
        """One of `everything()`.

        Raises:
            SecretMissing: no such name.
        """
        if name not in values:
            raise SecretMissing(
                f"The secrets file has no entry {name!r}.",
                address=str(self.file),
                hint=f"Put it in:\n    edgeform secret set {name}",
            )
        return values[name]

    def site_key(self) -> SecretValue:
        """The key for `hmac_of`, made with the file and never changed by `set`."""
        return self._read().site_key

    def set(self, name: str, value: SecretValue) -> None:
        """Write one secret; the file is made if there is none.

        Raises:
            UsageError: the name's form, or a value that is empty or too long.
        """
        if not is_key(name):
            raise UsageError(f"{name!r} cannot name a secret; the form is {KEY_PATTERN}.")
        if not 0 < len(value.reveal()) <= MAX_VALUE_BYTES:
            raise UsageError(
                f"The value of {name!r} is empty or longer than {MAX_VALUE_BYTES} bytes."
            )
        with self._locked():
            before = self._read() if self.file.exists() else self._new()
            self._write(replace(before, values={**before.values, name: value}))

    def remove(self, name: str) -> None:
        """Take one secret out.

        Raises:
            SecretMissing: it is not there.
        """
        with self._locked():
            before = self._read()
            if name not in before.values:
                raise SecretMissing(
                    f"The secrets file has no entry {name!r}.",
                    address=str(self.file),
                    hint="See what is there:\n    edgeform secret list",
                )
            left = {other: value for other, value in before.values.items() if other != name}
            self._write(replace(before, values=left))

    def _new(self) -> _Contents:
        return _Contents(site_key=SecretValue(self.random(32)), values={})

    def _read(self) -> _Contents:
        header, nonce, cipher_text = self._envelope()
        contents = _opened(self.passphrase(), header, nonce, cipher_text)
        if (
            contents is None
        ):  # raised out here, so that no frame and no context holds the plain text
            raise SecretFileDamaged(
                "The passphrase does not open this secrets file, or the file was changed.",
                address=str(self.file),
                hint="Give the right one in EDGEFORM_SECRETS_PASSPHRASE, or restore the file from Git.",
            )
        return contents

    def _envelope(self) -> tuple[dict[str, object], bytes, bytes]:
        try:
            with self.file.open("rb") as stream:
                document = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError as exc:
            raise SecretMissing(
                "There is no such secrets file.",
                address=str(self.file),
                hint="It is made with the first secret:\n    edgeform secret set NAME",
            ) from exc
        try:
            if len(document) > MAX_FILE_BYTES:
                raise ValueError(f"longer than {MAX_FILE_BYTES} bytes")
            envelope = json.loads(document)
            kdf = envelope["kdf"]
            header = _header(_bytes(kdf["salt"]), int(kdf["n"]), int(kdf["r"]), int(kdf["p"]))
            if (envelope["schema"], envelope["cipher"], kdf["name"]) != (SCHEMA, CIPHER, KDF):
                raise ValueError("another schema, cipher or key derivation")
            if not (2 <= kdf["n"] <= _MAX_N and kdf["n"] & (kdf["n"] - 1) == 0):
                raise ValueError("scrypt n out of range")
            if not (1 <= kdf["r"] <= _MAX_R and 1 <= kdf["p"] <= _MAX_P):
                raise ValueError("scrypt r or p out of range")
            nonce, cipher_text = _bytes(envelope["nonce"]), _bytes(envelope["ciphertext"])
            if len(nonce) != 12 or len(cipher_text) < 16:
                raise ValueError("nonce or cipher text too short")
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise SecretFileDamaged(f"Not a secrets file: {exc}.", address=str(self.file)) from exc
        return header, nonce, cipher_text

    def _write(self, contents: _Contents) -> None:
        salt, nonce = self.random(16), self.random(12)
        header = _header(salt, self.scrypt_n, SCRYPT_R, SCRYPT_P)
        cipher_text = _sealed(self.passphrase(), header, nonce, contents)
        document = {**header, "nonce": _text(nonce), "ciphertext": _text(cipher_text)}
        _replace_file(self.file, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, by a lock on the folder: it leaves no file behind."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _header(salt: bytes, n: int, r: int, p: int) -> dict[str, object]:
    """The fields that are authenticated with the contents."""
    kdf = {"name": KDF, "n": n, "r": r, "p": p, "salt": _text(salt)}
    return {"schema": SCHEMA, "cipher": CIPHER, "kdf": kdf}


def _derive(passphrase: SecretValue, header: Mapping[str, object]) -> bytes:
    kdf = header["kdf"]
    if not isinstance(kdf, dict):
        raise AssertionError("_header makes it")  # noqa: TRY004 - our bug, not the caller's type
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415 - see below

    scrypt = Scrypt(salt=_bytes(kdf["salt"]), length=32, n=kdf["n"], r=kdf["r"], p=kdf["p"])
    return scrypt.derive(passphrase.reveal())


def _opened(
    passphrase: SecretValue, header: Mapping[str, object], nonce: bytes, cipher_text: bytes
) -> _Contents | None:
    """What is inside, or None; key and plain text live in this frame only."""
    # Imported here: most plans open no file, and this is a tenth of what they would import.
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    key = _derive(passphrase, header)
    try:
        return _parse(AESGCM(key).decrypt(nonce, cipher_text, _canonical(header)))
    except InvalidTag:
        return None


def _sealed(
    passphrase: SecretValue, header: Mapping[str, object], nonce: bytes, contents: _Contents
) -> bytes:
    """The cipher text; key and plain text live in this frame only."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see above

    plain = _canonical(
        {
            "site_key": _text(contents.site_key.reveal()),
            "secrets": {name: _text(v.reveal()) for name, v in contents.values.items()},
        }
    )
    return AESGCM(_derive(passphrase, header)).encrypt(nonce, plain, _canonical(header))


def _parse(plain: bytes) -> _Contents | None:
    try:
        document = json.loads(plain)
        return _Contents(
            site_key=SecretValue(_bytes(document["site_key"])),
            values={
                str(name): SecretValue(_bytes(text)) for name, text in document["secrets"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("not base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64 text") from None


def _replace_file(file: Path, content: bytes) -> None:
    tmp = file.with_name(file.name + ".tmp")
    descriptor = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    tmp.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
