"""Artifact manifests: what one installable thing consists of, file by file.

An artifact is known by the SHA-256 of its canonical manifest, which binds names, modes and sizes.
Its files travel as content-addressed blobs; there is no archive and so no unpacker.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from edgeform_wire import canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.artifact/1"
KINDS = ("model", "runtime", "driver", "tool", "golden")
MODES = ("0644", "0755")
MAX_SEGMENTS = 32
_SEGMENT = re.compile(r"[A-Za-z0-9._+-]{1,128}\Z")


@dataclass(frozen=True)
class ArtifactFile:
    """One file: its place in the tree, its size, whether it may be executed, its bytes' digest."""

    path: str
    size_bytes: int
    mode: str
    digest: str

    @property
    def is_executable(self) -> bool:
        return self.mode == "0755"


@dataclass(frozen=True)
class Requires:
    """What a device must be for the artifact to fit; None means it does not matter.

    glibc is a minimum ("2.28"), python is exact up to the minor version ("3.11"), accelerator is
    one of the probe's kinds, driver and runtime name versions of a tuple.
    """

    arch: Optional[str] = None
    glibc: Optional[str] = None
    python: Optional[str] = None
    accelerator: Optional[str] = None
    driver: Optional[str] = None
    runtime: Optional[str] = None


@dataclass(frozen=True)
class Artifact:
    """A signed thing to install. `metadata` is JSON of the kind's own (tensor specs, packages)."""

    kind: str
    name: str
    version: str
    variant: str
    epoch: int
    requires: Requires
    files: Tuple[ArtifactFile, ...]
    metadata: Dict[str, Any] = field(default_factory=dict)
    provenance: Optional[str] = None
    sbom: Optional[str] = None

    @property
    def size_bytes(self) -> int:
        return sum(f.size_bytes for f in self.files)

    @property
    def target_path(self) -> str:
        """Where the manifest stands among the signed targets."""
        return f"artifacts/{self.kind}/{self.name}/{self.version}/{self.variant}.json"

    def to_json(self) -> Dict[str, Any]:
        requires = {k: v for k, v in vars(self.requires).items() if v is not None}
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "variant": self.variant,
            "epoch": self.epoch,
            "requires": requires,
            "files": [dict(vars(f)) for f in self.files],
            "metadata": self.metadata,
            "provenance": self.provenance,
            "sbom": self.sbom,
        }

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())

    @property
    def digest(self) -> str:
        return canonical.digest_of(self.to_json())


def decode(document: bytes) -> Artifact:
    """The artifact of a manifest's bytes.

    Raises:
        WireError: not the agreed form, a path outside the grammar, two files with one name.
    """
    value = canonical.decode(document, "artifact manifest")
    fields = schema_of(value, SCHEMA, "artifact")
    found = Artifact(
        kind=fields.choice("kind", KINDS),
        name=check_segment(fields.text("name"), "artifact.name"),
        version=check_segment(fields.text("version"), "artifact.version"),
        variant=check_segment(fields.text("variant"), "artifact.variant"),
        epoch=fields.integer("epoch"),
        requires=_requires(fields.object("requires")),
        files=fields.each("files", _file),
        metadata=fields.object("metadata"),
        provenance=fields.optional_digest("provenance"),
        sbom=fields.optional_digest("sbom"),
    )
    fields.done()
    check_paths(tuple(f.path for f in found.files))
    return found


def check_segment(text: str, what: str) -> str:
    """One segment of a path, when it follows the grammar.

    Raises:
        WireError: empty, `.` or `..`, or a character outside `[A-Za-z0-9._+-]`.
    """
    if not _SEGMENT.match(text) or text in (".", ".."):
        raise WireError(f"{what}: {text!r:.80} is outside the name grammar")
    return text


def check_paths(paths: Tuple[str, ...]) -> None:
    """Refuse paths that could leave their tree or collide, also on FAT.

    Raises:
        WireError: names the path and what is wrong with it.
    """
    seen: Dict[str, str] = {}
    for path in paths:
        segments = path.split("/")
        if len(segments) > MAX_SEGMENTS:
            raise WireError(f"path {path!r:.80}: more than {MAX_SEGMENTS} segments")
        for segment in segments:
            check_segment(segment, f"path {path!r:.80}")
        folded = path.lower()
        if folded in seen:
            raise WireError(f"paths {seen[folded]!r} and {path!r} are one path where case is lost")
        seen[folded] = path
    for folded, path in seen.items():
        parts = folded.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in seen:
                raise WireError(f"path {path!r}: a parent of it is a file")


def _file(value: Any, what: str) -> ArtifactFile:
    fields = Fields(value, what)
    found = ArtifactFile(
        path=fields.text("path"),
        size_bytes=fields.integer("size_bytes"),
        mode=fields.choice("mode", MODES),
        digest=fields.digest("digest"),
    )
    fields.done()
    return found


def _requires(value: Dict[str, Any]) -> Requires:
    fields = Fields(value, "artifact.requires")
    found = Requires(
        arch=fields.optional_text("arch"),
        glibc=fields.optional_text("glibc"),
        python=fields.optional_text("python"),
        accelerator=fields.optional_text("accelerator"),
        driver=fields.optional_text("driver"),
        runtime=fields.optional_text("runtime"),
    )
    fields.done()
    return found
