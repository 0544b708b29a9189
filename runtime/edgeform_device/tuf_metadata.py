"""TUF metadata: bytes received from anywhere -> typed values, each field proven once.

No trust is decided here except the counting of signatures. Whatever is malformed is `NotTrusted`,
with the role and the field named; nothing here raises KeyError on a hostile file.
Source: TUF specification 1.0.34, section 4 (document formats).
"""

import calendar
import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from edgeform_device import p256
from edgeform_device.errors import Corrupt, NotTrusted
from edgeform_device.tuf_values import (
    DEVELOPMENT,
    PRODUCTION,
    TOP_LEVEL,
    Delegation,
    FileMeta,
    RoleKeys,
    Root,
    Snapshot,
    SuccinctBins,
    TargetInfo,
    Targets,
    Timestamp,
)
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

PROFILE_FIELD = "x-edgeform-profile"
ISSUED_FIELD = "x-edgeform-issued"

# python-tuf writes "ecdsa"; tuf-on-ci and older roots write the scheme's name.
_KEY_TYPES = ("ecdsa", "ecdsa-sha2-nistp256")
_SCHEME = "ecdsa-sha2-nistp256"
_HASHES = ("sha256", "sha384", "sha512")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
_SPEC_VERSION = re.compile(r"1(\.\d{1,4}){1,2}\Z")
# 32-bit counters and Unix seconds fit many times over; Python 3.8 parses long integers slowly.
_MAX_INTEGER_DIGITS = 19


@dataclass(frozen=True)
class Envelope:
    """A parsed file: what was signed, and by which signatures; nothing of it is believed yet."""

    role: str
    signed: Dict[str, Any]
    signatures: Tuple[Tuple[str, str], ...]  # (key id, hex)

    @classmethod
    def parse(cls, data: bytes, role: str, kind: str) -> "Envelope":
        """The file's two halves, when it is well-formed metadata of the given kind.

        Raises:
            NotTrusted: malformed, another kind of metadata, or another specification.
        """
        try:
            document = json.loads(
                data.decode("utf-8"),
                object_pairs_hook=_unique_keys,
                parse_float=_no_float,
                parse_constant=_no_float,
                parse_int=_bounded_integer,
            )
            fields = Fields(document, "file")
            signatures = fields.each("signatures", _read_signature)
            signed = fields.object("signed")
            if len({key_id for key_id, _ in signatures}) != len(signatures):
                raise WireError("signatures: one key id is listed twice")
            head = Fields(signed, "signed")
            head.choice("_type", (kind,))
            if not _SPEC_VERSION.match(head.text("spec_version")):
                raise WireError("signed.spec_version: this client speaks 1.x")
        except (ValueError, RecursionError) as exc:
            raise malformed(role, exc) from exc
        return cls(role, signed, signatures)

    def check_signatures(self, role_keys: RoleKeys, verify: p256.Verify) -> None:
        """Prove that enough *different* keys of the role signed this.

        Raises:
            NotTrusted: fewer good signatures than the role's threshold.
        """
        try:
            message = _canonical(self.signed).encode("utf-8")
        except (ValueError, RecursionError) as exc:
            raise malformed(self.role, exc) from exc
        known = dict(role_keys.keys)
        good = set()
        remarks: List[str] = []
        for key_id, signature in self.signatures:
            key = known.get(key_id)
            if key_id not in known:
                remarks.append(f"{_short(key_id)} is no key of this role")
            elif key is None:
                remarks.append(f"{_short(key_id)} is not an ECDSA P-256 key")
            elif verify(key, _unhex(signature), message):
                good.add(key)  # by point: one key under two ids counts once
            else:
                remarks.append(f"{_short(key_id)} does not verify")
        if len(good) < role_keys.threshold:
            raise NotTrusted(
                f"{shown(self.role)} carries {len(good)} of the {role_keys.threshold} signatures "
                "that its role demands.",
                detail="; ".join(remarks[:8]) or "It carries no signature at all.",
                hint="Nothing was changed. Take a repository that this device's root vouches for, or "
                "have it signed:\n    edgeform trust sign",
            )

    def root(self) -> Root:
        try:
            fields = Fields(self.signed, "signed")
            keys = _read_keys(fields.object("keys"))
            roles = Fields(fields.object("roles"), "signed.roles")
            profile = fields.optional_text(PROFILE_FIELD) or PRODUCTION
            if profile not in (DEVELOPMENT, PRODUCTION):
                raise WireError(f"signed.{PROFILE_FIELD}: {profile!r:.80} is no profile")
            return Root(
                version=fields.integer("version", 1),
                expires_s=_read_time(fields.text("expires"), "expires"),
                roles={
                    name: _read_role_keys(roles.object(name), keys, f"roles.{name}")
                    for name in TOP_LEVEL
                },
                is_consistent_snapshot=fields.boolean("consistent_snapshot", default=False),
                profile=profile,
            )
        except ValueError as exc:
            raise malformed(self.role, exc) from exc

    def timestamp(self) -> Timestamp:
        try:
            fields = Fields(self.signed, "signed")
            expires_s = _read_time(fields.text("expires"), "expires")
            issued = fields.optional_text(ISSUED_FIELD)
            issued_s = _read_time(issued, ISSUED_FIELD) if issued else 0
            if issued_s > expires_s:
                raise WireError(f"signed.{ISSUED_FIELD}: later than the expiry")
            meta = Fields(fields.object("meta"), "signed.meta")
            return Timestamp(
                version=fields.integer("version", 1),
                expires_s=expires_s,
                issued_s=issued_s,
                snapshot=_read_file_meta(meta.object("snapshot.json"), "meta.snapshot.json"),
            )
        except ValueError as exc:
            raise malformed(self.role, exc) from exc

    def snapshot(self) -> Snapshot:
        try:
            fields = Fields(self.signed, "signed")
            return Snapshot(
                version=fields.integer("version", 1),
                expires_s=_read_time(fields.text("expires"), "expires"),
                meta={
                    name: _read_file_meta(value, f"meta.{name}")
                    for name, value in fields.object("meta").items()
                },
            )
        except ValueError as exc:
            raise malformed(self.role, exc) from exc

    def targets(self) -> Targets:
        try:
            fields = Fields(self.signed, "signed")
            delegations, bins = _read_delegations(fields.object("delegations", {}))
            return Targets(
                version=fields.integer("version", 1),
                expires_s=_read_time(fields.text("expires"), "expires"),
                targets={
                    path: _read_target(path, value)
                    for path, value in fields.object("targets").items()
                },
                delegations=delegations,
                bins=bins,
            )
        except ValueError as exc:
            raise malformed(self.role, exc) from exc


def check_bytes(data: bytes, meta: FileMeta, role: str) -> None:
    """Prove that these are the very bytes that the role above pinned.

    Raises:
        Corrupt: another length or another hash.
    """
    problem = ""
    if meta.length is not None and len(data) != meta.length:
        problem = f"It has {len(data)} bytes; {meta.length} are signed."
    for algorithm, expected in meta.hashes:
        if not problem and hashlib.new(algorithm, data).hexdigest() != expected:
            problem = f"Its {algorithm} is not the signed {expected[:12]}..."
    if problem:
        raise Corrupt(
            f"{shown(role)} is not the file that the signed metadata pins.",
            detail=f"{problem} It was damaged, exchanged, or mixed from two publications. "
            "Nothing was changed.",
            hint="Copy the whole repository again, from one publication.",
        )


def malformed(role: str, why: Exception) -> NotTrusted:
    return NotTrusted(
        f"{shown(role)} is not well-formed TUF metadata.",
        detail=f"{ascii(str(why))[1:-1]:.300}. Nothing was changed.",
        hint="Copy the repository again; if it stays, check it where it was made:\n"
        "    edgeform trust verify",
    )


def shown(role: str) -> str:
    """A role's name as it may stand in a message: others chose it, so it is escaped and cut."""
    return ascii(role[:80])[1:-1]


def _read_keys(value: Dict[str, Any]) -> Dict[str, Optional[p256.PublicKey]]:
    """Keys by id; None for one we could never accept, which is no reason to refuse the others."""
    keys: Dict[str, Optional[p256.PublicKey]] = {}
    for key_id, item in value.items():
        fields = Fields(item, f"keys.{_short(key_id)}")
        key_type, scheme = fields.text("keytype"), fields.text("scheme")
        public = Fields(fields.object("keyval"), f"keys.{_short(key_id)}.keyval").text("public")
        keys[key_id] = None
        if key_type in _KEY_TYPES and scheme == _SCHEME:
            try:
                keys[key_id] = p256.load_public_key(public)
            except ValueError:
                keys[key_id] = None
    return keys


def _read_role_keys(
    value: Any, keys: Mapping[str, Optional[p256.PublicKey]], what: str
) -> RoleKeys:
    fields = Fields(value, what)
    key_ids = fields.texts("keyids")
    if len(set(key_ids)) != len(key_ids):
        raise WireError(f"{what}.keyids: one key id is listed twice")
    return RoleKeys(
        tuple((key_id, keys.get(key_id)) for key_id in key_ids), fields.integer("threshold", 1)
    )


def _read_delegations(
    value: Dict[str, Any],
) -> Tuple[Tuple[Delegation, ...], Optional[SuccinctBins]]:
    if not value:
        return (), None
    fields = Fields(value, "delegations")
    keys = _read_keys(fields.object("keys"))
    roles = fields.each(
        "roles", lambda item, what: _read_delegation(item, keys, what), default=True
    )
    succinct = fields.object("succinct_roles", {})
    if len({role.name for role in roles}) != len(roles):
        raise WireError("delegations.roles: one name is listed twice")
    if succinct and roles:
        raise WireError("delegations: both roles and succinct_roles")
    return roles, _read_bins(succinct, keys) if succinct else None


def _read_delegation(
    value: Any, keys: Mapping[str, Optional[p256.PublicKey]], what: str
) -> Delegation:
    fields = Fields(value, what)
    name = fields.text("name")
    if not name or name in TOP_LEVEL or len(name) > 80:
        raise WireError(f"{what}.name: {name!r:.80} cannot be a delegated role")
    patterns = fields.texts("paths", default=True)
    prefixes = fields.texts("path_hash_prefixes", default=True)
    if bool(patterns) == bool(prefixes) and (patterns or "paths" not in value):
        raise WireError(f"{what}: exactly one of paths and path_hash_prefixes is needed")
    return Delegation(
        name=name,
        role_keys=_read_role_keys(value, keys, what),
        patterns=patterns,
        hash_prefixes=prefixes,
        is_terminating=fields.boolean("terminating"),
    )


def _read_bins(value: Dict[str, Any], keys: Mapping[str, Optional[p256.PublicKey]]) -> SuccinctBins:
    fields = Fields(value, "delegations.succinct_roles")
    bits = fields.integer("bit_length", 1)
    prefix = fields.text("name_prefix")
    if bits > 32 or not prefix or len(prefix) > 60:
        raise WireError("delegations.succinct_roles: bit_length above 32, or an unusable prefix")
    return SuccinctBins(prefix, bits, _read_role_keys(value, keys, "succinct_roles"))


def _read_target(path: str, value: Any) -> TargetInfo:
    fields = Fields(value, f"targets.{path:.80}")
    hashes = fields.object("hashes")
    return TargetInfo(
        path=path,
        length=fields.integer("length"),
        sha256=_read_hash(hashes.get("sha256"), "sha256", path) if "sha256" in hashes else "",
        custom=fields.object("custom", {}),
    )


def _read_file_meta(value: Any, what: str) -> FileMeta:
    fields = Fields(value, what)
    hashes = fields.object("hashes", {})
    for algorithm in hashes:
        if algorithm not in _HASHES:
            raise WireError(f"{what}.hashes: {algorithm!r:.40} is not accepted")
    return FileMeta(
        version=fields.integer("version", 1),
        length=fields.optional_integer("length"),
        hashes=tuple((name, _read_hash(text, name, what)) for name, text in hashes.items()),
    )


def _read_hash(value: Any, algorithm: str, what: str) -> str:
    if not isinstance(value, str) or not re.match(r"[0-9a-f]{64,128}\Z", value):
        raise WireError(f"{what:.80}.hashes.{algorithm}: not lower-case hex digits")
    return value


def _read_signature(value: Any, what: str) -> Tuple[str, str]:
    fields = Fields(value, what)
    return fields.text("keyid"), fields.text("sig")


def _read_time(text: str, what: str) -> int:
    if not _TIME.match(text):
        raise WireError(f"signed.{what}: {text!r:.40} is not YYYY-MM-DDThh:mm:ssZ")
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def _canonical(value: Any) -> str:
    """OLPC canonical JSON, which is what TUF signs: only quotes and backslashes are escaped."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return (
            "{" + ",".join(_canonical(k) + ":" + _canonical(value[k]) for k in sorted(value)) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return json.dumps(value)  # true, false, null and integers: floats were refused while reading


def _unique_keys(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise WireError("one key stands twice in an object")
    return found


def _no_float(text: str) -> Any:
    raise WireError(f"{text:.40} is not an integer")


def _bounded_integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS:
        raise WireError("an integer of more than 19 digits")
    return int(text)


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""  # a signature of the wrong form is one that does not verify


def _short(key_id: str) -> str:
    return shown(key_id[:12])
