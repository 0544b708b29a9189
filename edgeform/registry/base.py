"""What every registry can do: say which version a rule means now, and give that version's bytes.

A registry is asked by `edgeform lock` and `edgeform registry` only; planning never needs one. Digests are
computed from bytes, or claimed by the registry and compared with the bytes before anything is locked.
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
LFS_POINTER = b"version https://git-lfs"
MAX_FILES = 10_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A version that a registry has.

    Args:
        name: what `exact` asks for, and what a lock keeps; it never comes to mean something else.
        semver: its semantic version, where it has one; often the name itself.
        is_released: whether `latest` may mean it.
        is_approved: None where the registry does not record approvals.
    """

    name: str
    semver: str = ""
    is_released: bool = True
    is_approved: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The versions of a model, the oldest first, and its aliases as (alias, version) pairs."""

    versions: tuple[Known, ...]
    aliases: tuple[tuple[str, str], ...] = ()

    def names(self) -> tuple[str, ...]:
        return tuple(known.name for known in self.versions)


class Registry(Protocol):
    """The contract; tests/contract/test_registry.py is its suite.

    Every method raises RegistryFailed where the registry cannot be read.
    """

    def models(self) -> tuple[str, ...]:
        """The names of its models, sorted.

        Raises:
            SourceRefused: this kind of registry cannot say.
        """

    def listing(self, source: str) -> Listing:
        """The versions of a model.

        Raises:
            VersionNotFound: no such model.
        """

    def resolve(self, source: str, rule: VersionRule, wanted: str) -> ResolvedVersion:
        """The version that the rule means now.

        Raises:
            VersionNotFound: no such model or version.
            SourceRefused: there is one, and it must not be used.
        """

    def open(self, resolved: ResolvedVersion, path: str) -> BinaryIO:
        """The bytes of one of its files, not yet compared with the digest."""


def fetch(registry: Registry, resolved: ResolvedVersion, into: Path) -> Path:
    """`into`, now holding exactly the files of the version; every byte compared while it is copied.

    Raises:
        Corrupt: a file is not what was resolved; nothing is left in `into`.
        RegistryFailed: a file cannot be read, or there is no room for it.
    """
    into.mkdir(parents=True)
    try:
        for file in resolved.files:
            _fetch_file(registry, resolved, file, into.joinpath(*file.path.split("/")))
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return into


def _fetch_file(
    registry: Registry, resolved: ResolvedVersion, file: SourceFile, target: Path
) -> None:
    with registry.open(resolved, file.path) as source:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as copy:
                digest, size = copied(source, copy)
        except OSError as exc:
            raise RegistryFailed(
                f"{file.path} cannot be copied: {exc.strerror}.",
                address=str(target.parent),
                hint=f"It needs {file.size_bytes} bytes.",
            ) from exc
    if (digest, size) != (file.digest, file.size_bytes):
        raise Corrupt(
            f"{resolved.source} {resolved.version}: {file.path} changed while it was read.",
            hint="Publish changed files as a new version, then\n    edgeform lock",
        )


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
    check_files((path,), where)
    return path


def check_files(paths: tuple[str, ...], where: str) -> None:
    """All paths of a version together, as an artifact could hold them.

    Raises:
        SourceRefused: none or too many, one outside the path grammar, two that collide where case is lost.
    """
    if not paths:
        raise SourceRefused("The version is empty: it has no files.", address=where)
    if len(paths) > MAX_FILES:
        raise SourceRefused(f"It has more than {MAX_FILES} files.", address=where)
    try:
        artifact.check_paths(paths)
    except WireError as exc:
        raise SourceRefused(
            f"{exc}.",
            address=where,
            hint="Letters, digits, `.`, `_`, `+` and `-` may stand in the names of files.",
        ) from exc


def refuse_pointer(first_bytes: bytes, where: str) -> None:
    """Nothing, unless the file is a git-lfs pointer.

    Raises:
        SourceRefused: the file's bytes are elsewhere.
    """
    if first_bytes.startswith(LFS_POINTER):
        raise SourceRefused(
            "It is a git-lfs pointer: the file's bytes are elsewhere.",
            address=where,
            hint="Fetch them before they are published:\n    git lfs pull",
        )


def listed(names: tuple[str, ...] | list[str]) -> str:
    """`There are: a, b.`, for a hint."""
    return f"There are: {', '.join(names[:12])}." if names else "There are none."
