"""Models, their variants, and the artifacts a lock resolves them to."""

from dataclasses import dataclass
from enum import StrEnum

from edgeform.domain.builds import Build
from edgeform.domain.names import Digest, ModelName


class VersionRule(StrEnum):
    EXACT = "exact"
    ALIAS = "alias"
    SEMVER = "semver"
    DIGEST = "digest"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of a model; `when` says which accelerators and engines may take it ("*" any).

    It is a file of the model's version, or it is built: exactly one of `file` and `build` is there.
    """

    name: str
    engine: str
    file: str = ""
    build: Build | None = None
    accelerators: tuple[str, ...] = ("*",)
    precision: str = "f32"
    goldens: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of the site: where it comes from, which version, and its variants in order of wish."""

    name: ModelName
    registry: str
    source: str
    rule: VersionRule
    wanted: str
    variants: tuple[Variant, ...]
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedArtifact:
    """An artifact the lock names, with what planning must know without having its bytes.

    `requires` holds (field, value) pairs of the manifest: arch, glibc, python, accelerator...
    """

    digest: Digest
    kind: str
    name: str
    version: str
    variant: str
    epoch: int
    size_bytes: int
    engine: str = ""
    engine_version: str = ""
    requires: tuple[tuple[str, str], ...] = ()
    measures: tuple[tuple[str, float], ...] = ()
    """Figures from the gate: accuracy, agreement, sqnr_db..."""
    derivation: Digest | None = None
    """What it was built from and how; None for what was not built by a recipe."""
    request: Digest | None = None
    """What the site asked for when it was built, as far as a plan can tell: see `builds.request_of`."""
    extras: tuple[str, ...] = ()
    """Of a runtime: the stage extras that it holds, sorted."""
    precision: str = ""
    """Of a model in half precision: `f16` or `bf16`; its engine is asked for that. Empty for all others."""

    def required(self, name: str) -> str | None:
        return dict(self.requires).get(name)

    def measure(self, name: str) -> float | None:
        return dict(self.measures).get(name)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LockedFile:
    """One file of a locked version, relative to the version's folder."""

    path: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSource:
    """Which version of a model was found when it was asked for, and by which rule.

    `digest` covers every file of the version as the registry had it; `files` names them one by one, and
    is empty in a lock that an older edgeform wrote.
    """

    model: ModelName
    registry: str
    source: str
    rule: VersionRule
    wanted: str
    version: str
    digest: Digest
    files: tuple[LockedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What `edgeform.lock` fixes: every model version and every closure, by digest."""

    digest: Digest
    artifacts: tuple[LockedArtifact, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    """(model name, resolved version)."""
    sources: tuple[LockedSource, ...] = ()

    def version_of(self, model: str) -> str | None:
        return dict(self.versions).get(model)
