"""A bundle: a folder for a stick, from which devices without any network are brought up to date.

    edgeform/bundle.json                 what was put there, for people and for `bundle verify`; not signed
    edgeform/trust/metadata/*.json       the signed metadata, with every root from the first
    edgeform/sha256/ab/cdef...           blobs; a long one as cdef....000, .001 and so on
    edgeform/edgeform-device.pyz         the device tool, for a machine that has none
    edgeform/sbom/<kind>-<name>-*.json   what is in each artifact, for people and their tools
    edgeform/return/device-<name>.*      what devices report: receipts, state, findings, public key

Lower-case names, no links, no modes, no file of 4 GiB: it must survive FAT and exFAT. Only the signed
metadata is ever believed; `bundle.json` says what is missing or damaged, and for whom the stick is.
"""

from dataclasses import dataclass
from typing import Any, Dict, Tuple

from edgeform_wire import artifact, canonical
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.bundle/1"
RETURN_SCHEMA = "edgeform.return/1"
FINDINGS_SCHEMA = "edgeform.findings/1"
FOLDER = "edgeform"
CONTENTS = "bundle.json"
METADATA = "trust/metadata"
TARGETS = "trust/targets"
TOOL = "edgeform-device.pyz"
RETURN = "return"
SBOM = "sbom"
PART_BYTES = 1024 * 1024 * 1024
"""FAT ends at 4 GiB; a quarter of that also suits what copies files with 32-bit lengths."""
MAX_CONTENTS_BYTES = 64 * 1024 * 1024
FINGERPRINT_DIGITS = 32
"""128 bits: nobody finds another root with these digits, and a person can still type them."""


@dataclass(frozen=True)
class Addressee:
    """A device, the deployment that is here for it, and how much it may have to copy."""

    device: str
    deployment: int
    digest: str
    size_bytes: int

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Listed:
    """One file of the bundle, by its path below `edgeform/`."""

    path: str
    size_bytes: int
    digest: str

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Contents:
    """What `bundle.json` says."""

    site: str
    created_at: str
    valid_until: str
    timestamp_version: int
    root_digest: str
    tool_digest: str
    devices: Tuple[Addressee, ...]
    files: Tuple[Listed, ...]

    def to_json(self) -> Dict[str, Any]:
        return {
            "schema": SCHEMA,
            **vars(self),
            "devices": [d.to_json() for d in self.devices],
            "files": [f.to_json() for f in self.files],
        }

    def encoded(self) -> bytes:
        """With its own digest, so that a damaged table of contents shows itself."""
        value = self.to_json()
        return canonical.encode({"contents": value, "digest": canonical.digest_of(value)})


def decode(document: bytes) -> Contents:
    """The table of contents.

    Raises:
        WireError: not the agreed form, or not what was written.
    """
    outer = Fields(canonical.decode(document, CONTENTS), CONTENTS)
    value, digest = outer.object("contents"), outer.digest("digest")
    outer.done()
    if canonical.digest_of(value) != digest:
        raise WireError(f"{CONTENTS} is damaged: it is not what its own digest says")
    fields = schema_of(value, SCHEMA, CONTENTS)
    found = Contents(
        site=artifact.check_segment(fields.text("site"), "bundle.site"),
        created_at=fields.text("created_at"),
        valid_until=fields.text("valid_until"),
        timestamp_version=fields.integer("timestamp_version", minimum=1),
        root_digest=fields.digest("root_digest"),
        tool_digest=fields.digest("tool_digest"),
        devices=fields.each("devices", _addressee),
        files=fields.each("files", _listed),
    )
    fields.done()
    return found


def blob_name(digest: str) -> str:
    """Where a blob is, below `edgeform/` as in every store."""
    text = digests.hex_of(digest)
    return f"sha256/{text[:2]}/{text[2:]}"


def part_name(name: str, number: int) -> str:
    return f"{name}.{number:03d}"


def sbom_name(listed: artifact.Artifact) -> str:
    """Where an artifact's list of parts is; the digits tell versions apart, and names that differ in case."""
    return f"{SBOM}/{listed.kind}-{listed.name}-{digests.hex_of(listed.digest)[:12]}.cdx.json"


def return_name(device: str, kind: str) -> str:
    """`jsonl`, `state.json`, `drift.json` or `key.pem`; the prefix keeps a device called `aux` writable."""
    return f"{RETURN}/device-{artifact.check_segment(device, 'device')}.{kind}"


def fingerprint(digest: str) -> str:
    """A digest for paper: 32 digits in groups of four."""
    text = digests.hex_of(digest)[:FINGERPRINT_DIGITS]
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def is_fingerprint_of(typed: str, digest: str) -> bool:
    """Whether a person typed at least the digits of `fingerprint`, and only right ones."""
    text = "".join(c for c in typed.lower() if c not in " -:\t\n")
    text = text[len("sha256") :] if text.startswith("sha256") else text
    return len(text) >= FINGERPRINT_DIGITS and digests.hex_of(digest).startswith(text)


def check_file_name(path: str) -> str:
    """A path that every file system of a stick carries as it is.

    Raises:
        WireError: a segment that is no name, or that FAT would change.
    """
    for segment in path.split("/"):
        stem = segment.split(".", 1)[0].lower()
        is_reserved = stem in _RESERVED or segment != segment.strip(" .") or not segment
        if is_reserved or not set(segment) <= _PORTABLE or len(segment) > 200:
            raise WireError(f"{path!r:.120} is no path for a stick")
    return path


_PORTABLE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-%")
_RESERVED = frozenset(
    ("con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10)))
)


def _addressee(value: Any, what: str) -> Addressee:
    fields = Fields(value, what)
    found = Addressee(
        device=artifact.check_segment(fields.text("device"), what),
        deployment=fields.integer("deployment", minimum=1),
        digest=fields.digest("digest"),
        size_bytes=fields.integer("size_bytes"),
    )
    fields.done()
    return found


def _listed(value: Any, what: str) -> Listed:
    fields = Fields(value, what)
    found = Listed(
        path=check_file_name(fields.text("path")),
        size_bytes=fields.integer("size_bytes"),
        digest=fields.digest("digest"),
    )
    fields.done()
    return found
