"""Models, their variants, and the artifacts a lock resolves them to."""

from dataclasses import dataclass
from enum import StrEnum

from edgeform.domain.names import Digest, ModelName


class VersionRule(StrEnum):
    EXACT = "exact"
    ALIAS = "alias"
    SEMVER = "semver"
    DIGEST = "digest"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of a model; `when` says which accelerators and engines may take it ("*" any)."""

    name: str
    engine: str
    file: str
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
    extras: tuple[str, ...] = ()
    """Of a runtime: the stage extras that it holds, sorted."""

    def required(self, name: str) -> str | None:
        return dict(self.requires).get(name)

    def measure(self, name: str) -> float | None:
        return dict(self.measures).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSource:
    """Which version of a model was found when it was asked for, and by which rule.

    `digest` covers every file of the version as the registry had it.
    """

    model: ModelName
    registry: str
    source: str
    rule: VersionRule
    wanted: str
    version: str
    digest: Digest


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
