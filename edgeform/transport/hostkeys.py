"""Which key a device must show: reads pins and known_hosts files, compares, says what to do. Pure.

Stricter than the files allow: an unknown key is refused, always. `@cert-authority` lines pin nothing
here (paramiko cannot check host certificates); `@revoked` lines refuse the key that they name.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

DEFAULT_PORT = 22


class MalformedHostKey(ValueError):
    """Text that should be a host key and is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A public key: its type (`ssh-ed25519`) and its wire bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: `SHA256:` and unpadded base64."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return "SHA256:" + digest.rstrip("=")

    @property
    def line(self) -> str:
        """As a site spec or a known_hosts file holds it."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """What is known about one address."""

    keys: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    has_authority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a key is not the right one, and what a person can do about it."""

    detail: str
    hint: str


def parse_host_key(text: str) -> HostKey:
    """The key in `ssh-ed25519 AAAA... comment`.

    Raises:
        MalformedHostKey: too few words, not base64, or the bytes are of another key type.
    """
    words = text.split()
    if len(words) < 2:
        raise MalformedHostKey("a host key is written `type base64`, as in `ssh-ed25519 AAAA...`")
    kind, encoded = words[0], words[1]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as exc:
        raise MalformedHostKey(f"the {kind} host key is not base64") from exc
    # The blob begins with its own type as an SSH string (RFC 4253 section 6.6).
    if len(blob) < 4 or blob[4 : 4 + int.from_bytes(blob[:4], "big")] != kind.encode():
        raise MalformedHostKey(f"the bytes of the host key are not of type {kind}")
    return HostKey(kind=kind, blob=blob)


def pins_of(lines: Iterable[str], host: str, port: int) -> Pins:
    """What known_hosts lines say about an address. Lines that cannot be read pin nothing."""
    keys: list[HostKey] = []
    revoked: list[HostKey] = []
    has_authority = False
    for line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3 or not _names(words[0], known_name(host, port)):
            continue
        try:
            key = parse_host_key(" ".join(words[1:3]))
        except MalformedHostKey:
            continue
        match marker:
            case "":
                keys.append(key)
            case "@revoked":
                revoked.append(key)
            case "@cert-authority":
                has_authority = True
            case _:
                continue
    return Pins(keys=tuple(keys), revoked=tuple(revoked), has_authority=has_authority)


def known_name(host: str, port: int) -> str:
    """An address as known_hosts files write it."""
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


def judge(pins: Pins, shown: HostKey, *, who: str) -> Refusal | None:
    """Why this key is refused; None if it is pinned.

    Args:
        who: the device or jump host, as a person would call it, with its address.
    """
    if shown in pins.revoked:
        return Refusal(
            detail=f"{who} shows the host key {shown.fingerprint}, which known_hosts says is revoked.",
            hint="Nothing was sent. Whoever holds that key is not to be trusted: do not pin it again.",
        )
    if shown in pins.keys:
        return None
    pin = f"Then pin it in the site:\n    host_key: {shown.line}"
    if pins.keys:
        pinned = ", ".join(f"{key.fingerprint} ({key.kind})" for key in pins.keys)
        return Refusal(
            detail=(
                f"{who} shows the host key {shown.fingerprint} ({shown.kind}), "
                f"but {pinned} is pinned: the host key has changed."
            ),
            hint=(
                "Nothing was sent. Either the device was installed again, or something answers in its "
                f"place.\nCompare the fingerprint with the device's label or console. {pin}"
            ),
        )
    authority = (
        " A @cert-authority line names it, but edgeform compares plain keys only."
        if pins.has_authority
        else ""
    )
    return Refusal(
        detail=(
            f"{who} shows the host key {shown.fingerprint} ({shown.kind}), "
            f"and no host key is pinned for it: the host key is unknown.{authority}"
        ),
        hint=f"Nothing was sent. Compare the fingerprint with the device's label or console. {pin}",
    )


def _names(patterns: str, name: str) -> bool:
    found = False
    for pattern in patterns.split(","):
        if pattern.startswith("|1|"):
            found = found or _hashed_name_is(pattern, name)
        elif pattern.startswith("!"):
            if _matches(pattern[1:], name):
                return False
        else:
            found = found or _matches(pattern, name)
    return found


def _matches(pattern: str, name: str) -> bool:
    # Square brackets are literal in known_hosts ("[host]:port"); only * and ? are patterns.
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


def _hashed_name_is(pattern: str, name: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        wanted = base64.b64decode(digest)
        return hmac.compare_digest(
            hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest(), wanted
        )
    except (ValueError, binascii.Error):
        return False
