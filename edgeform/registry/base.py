"""What every registry can do: say which version a rule means now, and give that version's bytes.

A registry is asked by `edgeform lock` only; planning never needs one. What it answers is proven: every
file's digest is computed from its bytes, and bytes that are used later are compared with it again.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from edgeform.domain.artifacts import VersionRule
from edgeform.errors import Corrupt, EdgeformError, OutsideFailed
from edgeform_wire import artifact, canonical
from edgeform_wire.errors import WireError

CHUNK_BYTES = 1024 * 1024


class VersionNotFound(EdgeformError):
    """The registry has no such model, or no version that the rule allows."""

    summary = "No such version"
    exit_code = 3


class SourceRefused(EdgeformError):
    """The registry has it, and it cannot be used: a link, a git-lfs pointer, a name outside the grammar."""

    summary = "Source model refused"
    exit_code = 3


class RegistryFailed(OutsideFailed):
    """The registry itself cannot be read."""

    summary = "Registry failed"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SourceFile:
    """A file of a version; the path is relative to the version's folder."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedVersion:
    """The version that a rule means now, with all its files, sorted by path."""

    source: str
    version: str
    files: tuple[SourceFile, ...]

    @property
    def digest(self) -> str:
        """One digest over every path, size and content."""
        listed = [[f.path, f.size_bytes, f.digest] for f in self.files]
        return canonical.digest_of(listed)

    @property
    def size_bytes(self) -> int:
        return sum(f.size_bytes for f in self.files)


class Registry(Protocol):
    """The contract; tests/contract/test_registry.py is its suite."""

    def resolve(self, source: str, rule: VersionRule, wanted: str) -> ResolvedVersion:
        """The version that the rule means now.

        Raises:
            VersionNotFound: no such model or version.
            SourceRefused: there is one, and it must not be used.
            RegistryFailed: the registry cannot be read.
        """

    def open(self, resolved: ResolvedVersion, path: str) -> BinaryIO:
        """The bytes of one of its files, not yet compared with the digest.

        Raises:
            RegistryFailed: the file cannot be read any more.
        """


def fetch(registry: Registry, resolved: ResolvedVersion, into: Path) -> Path:
    """`into`, now holding exactly the files of the version; every byte compared while it is copied.

    Raises:
        Corrupt: a file is not what was resolved; nothing is left in `into`.
        RegistryFailed: a file cannot be read.
    """
    into.mkdir(parents=True)
    try:
        for file in resolved.files:
            target = into.joinpath(*file.path.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            with registry.open(resolved, file.path) as source, target.open("xb") as copy:
                digest, size = copied(source, copy)
            if (digest, size) != (file.digest, file.size_bytes):
                raise Corrupt(
                    f"{resolved.source} {resolved.version}: {file.path} changed while it was read.",
                    hint="Publish changed files as a new version, then\n    edgeform lock",
                )
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return into


def copied(source: BinaryIO, copy: BinaryIO | None = None) -> tuple[str, int]:
    """Digest and length of a stream, which is also written to `copy`."""
    hasher, size = hashlib.sha256(), 0
    for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
        hasher.update(chunk)
        size += len(chunk)
        if copy is not None:
            copy.write(chunk)
    return f"sha256:{hasher.hexdigest()}", size


def check_path(path: str, where: str) -> str:
    """A path of a version, when an artifact could hold it.

    Raises:
        SourceRefused: it is outside the path grammar.
    """
    try:
        artifact.check_paths((path,))
    except WireError as exc:
        raise SourceRefused(
            f"{exc}.",
            address=where,
            hint="Letters, digits, `.`, `_`, `+` and `-` may stand in the names of files.",
        ) from exc
    return path
