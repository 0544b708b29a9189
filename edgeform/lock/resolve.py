"""A new lock: versions from registries, artifacts from a builder.

What is locked stays as it is until somebody asks to update it, or the site asks for something else.
Nothing is built here: the builder comes in through a protocol, so that planning needs no tool set.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgeform.domain.artifacts import (
    Lock,
    LockedArtifact,
    LockedFile,
    LockedSource,
    Model,
    Variant,
    VersionRule,
)
from edgeform.domain.build_request import request_of
from edgeform.domain.hardware import HALVES
from edgeform.domain.names import Digest
from edgeform.domain.site import Site
from edgeform.errors import Corrupt, UsageError
from edgeform.lock.closures import RuntimeRequest, runtimes_of, serves
from edgeform.lock.lockfile import lock_of
from edgeform.registry.base import Registry, ResolvedVersion, fetch
from edgeform.spec.shape import nearest
from edgeform_wire.artifact import Artifact

EVERYTHING = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A variant to be made out of a version's files, which lie verified in `folder`.

    `folder` is the variant's own: the folder that holds the variant's file, and everything below it.
    """

    model: Model
    variant: Variant
    version: str
    folder: Path
    entry: str


class Builder(Protocol):
    """Makes artifacts and puts their bytes into the store; same request, same artifact."""

    def model(self, request: ModelRequest) -> Artifact:
        """The artifact of a variant."""

    def runtime(self, request: RuntimeRequest) -> Artifact | None:
        """The closure; None where this machine cannot make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The new lock, and what differs from the old one, as sentences."""

    lock: Lock
    changes: tuple[str, ...]
    missing: tuple[RuntimeRequest, ...] = ()
    """Closures that nobody could make: devices of these classes cannot be planned."""
    unbuilt: tuple[tuple[str, str], ...] = ()
    """(model, variant) of what `edgeform build` has to make first."""


def renewed(
    site: Site,
    registries: Mapping[str, Registry],
    builder: Builder,
    old: Lock | None,
    *,
    update: Iterable[str] = (),
    work: Path,
    is_here: Callable[[str], bool] = lambda _: True,
    driver: Callable[[str], Artifact] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Renewed:
    """A lock for the site as it stands.

    Args:
        update: models whose rule is asked again; `*` means all of them and every closure. Others keep
            their locked version as long as the site still asks by the same rule.
        work: a folder for the files of one version at a time.
        is_here: whether the store has an artifact; what is locked and not here is made again, of the very
            version that is locked.
        driver: the driver artifact of a digest that a class names; from the store.
        tell: hears what is being done.

    Raises:
        UsageError: an updated model that the site does not have.
        VersionNotFound, SourceRefused, RegistryFailed, Corrupt: see `registry.base`.
        Corrupt: a locked version that nobody asked to update has other files than were locked.
    """
    update_names = tuple(update)
    wanted = updates(site, update_names)
    kept_sources = {s.model: s for s in old.sources} if old else {}
    sources: list[LockedSource] = []
    artifacts: list[LockedArtifact] = []
    for model in site.models:
        registry = registries[model.registry]
        before = kept_sources.get(model.name)
        is_kept = before is not None and is_same_rule(before, model) and model.name not in wanted
        if is_kept and before is not None and old is not None:
            kept = locked_variants(old, model, before)
            if kept is not None and all(is_here(a.digest) for a in kept):
                sources.append(before)
                artifacts += (*kept, *_still_built(old, model, before))
                continue
        tell(f"{model.name}: asking registry {model.registry}")
        # A locked version stays: an alias may have moved on since, or may be gone.
        if is_kept and before is not None:
            resolved = registry.resolve(model.source, VersionRule.EXACT, before.version)
            check_unchanged(before, resolved)
        else:
            resolved = registry.resolve(model.source, model.rule, model.wanted)
        found = _source(model, resolved)
        sources.append(found)
        artifacts += _taken(model, resolved, registry, builder, work, tell)
        artifacts += _still_built(old, model, found)
    kept_runtimes = old if old is not None and EVERYTHING not in update_names else None
    runtimes, missing = _runtimes(site, builder, kept_runtimes, is_here, tell)
    drivers = () if driver is None else _drivers(site, old, driver)
    lock = lock_of(sources, _unique((*artifacts, *runtimes, *drivers)))
    return Renewed(
        lock=lock,
        changes=tuple(_changes(old, lock)),
        missing=missing,
        unbuilt=unbuilt(site, lock),
    )


def check_unchanged(before: LockedSource, now: ResolvedVersion) -> None:
    """Let a version pass that still is what was locked.

    Raises:
        Corrupt: its files are others now, although a version never changes.
    """
    if now.digest == before.digest:
        return
    raise Corrupt(
        f"{before.source} {before.version} of registry {before.registry} has other files than were"
        f" locked{_which(before, now)}.",
        address=f"models.{before.model}",
        hint="Somebody replaced the files of a version, or stands in for the registry. Find out who; if"
        f" the new files are right, review them and lock them:\n    edgeform lock --update {before.model}",
    )


def _which(before: LockedSource, now: ResolvedVersion) -> str:
    if not before.files:
        return ""
    was = {f.path: f.digest for f in before.files}
    found = {f.path: f.digest for f in now.files}
    differ = sorted(p for p in {*was, *found} if was.get(p) != found.get(p))
    more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
    return f": {', '.join(differ[:3])}{more}"


def updates(site: Site, asked: tuple[str, ...]) -> frozenset[str]:
    """The models whose rule is asked again.

    Raises:
        UsageError: one that the site does not have.
    """
    known = [model.name for model in site.models]
    if EVERYTHING in asked:
        return frozenset(known)
    for name in asked:
        if name not in known:
            raise UsageError(f"The site has no model {name!r}.", hint=nearest(name, known))
    return frozenset(asked)


def is_same_rule(before: LockedSource, model: Model) -> bool:
    """Whether the site still asks as it did when the version was locked."""
    return (before.registry, before.source, before.rule, before.wanted) == (
        model.registry,
        model.source,
        model.rule,
        model.wanted,
    )


def locked_variants(
    old: Lock, model: Model, before: LockedSource
) -> tuple[LockedArtifact, ...] | None:
    """What the lock has of every variant that is a file of the version; None if one is not in it."""
    locked = {
        a.variant: a
        for a in old.artifacts
        if a.kind == "model" and a.name == model.name and a.version == before.version
    }
    found = [locked.get(variant.name) for variant in model.variants if variant.build is None]
    if any(a is None or a.epoch != model.epoch for a in found):
        return None
    return tuple(a for a in found if a is not None)


def _still_built(
    old: Lock | None, model: Model, source: LockedSource
) -> tuple[LockedArtifact, ...]:
    """The built variants of the model that are still what the site asks for; others are to be built."""
    asked = {
        variant.name: request_of(variant, variant.build, source.digest)
        for variant in model.variants
        if variant.build is not None
    }
    return tuple(
        a
        for a in (old.artifacts if old else ())
        if a.kind == "model"
        and (a.name, a.version, a.epoch) == (model.name, source.version, model.epoch)
        and a.request is not None
        and a.request == asked.get(a.variant)
    )


def unbuilt(site: Site, lock: Lock) -> tuple[tuple[str, str], ...]:
    """(model, variant) of everything that `edgeform build` has to make before it can be planned."""
    digests = {source.model: source for source in lock.sources}
    found = []
    for model in site.models:
        source = digests.get(model.name)
        if source is None:
            continue
        there = {a.variant for a in _still_built(lock, model, source)}
        found += [
            (model.name, variant.name)
            for variant in model.variants
            if variant.build is not None and variant.name not in there
        ]
    return tuple(found)


def _source(model: Model, resolved: ResolvedVersion) -> LockedSource:
    return LockedSource(
        model=model.name,
        registry=model.registry,
        source=model.source,
        rule=model.rule,
        wanted=model.wanted,
        version=resolved.version,
        digest=Digest(resolved.digest),
        files=tuple(
            LockedFile(path=f.path, size_bytes=f.size_bytes, digest=Digest(f.digest))
            for f in resolved.files
        ),
    )


def _taken(
    model: Model,
    resolved: ResolvedVersion,
    registry: Registry,
    builder: Builder,
    work: Path,
    tell: Callable[[str], None],
) -> Iterator[LockedArtifact]:
    files = [variant for variant in model.variants if variant.build is None]
    if not files:
        return
    folder = fetch(registry, resolved, work / model.name / resolved.version)
    for variant in files:
        *parents, entry = variant.file.split("/")
        tell(f"{model.name} {resolved.version}: variant {variant.name}")
        request = ModelRequest(
            model=model,
            variant=variant,
            version=resolved.version,
            folder=folder.joinpath(*parents),
            entry=entry,
        )
        yield locked(builder.model(request), variant.engine)


def _runtimes(
    site: Site,
    builder: Builder,
    old: Lock | None,
    is_here: Callable[[str], bool],
    tell: Callable[[str], None],
) -> tuple[tuple[LockedArtifact, ...], tuple[RuntimeRequest, ...]]:
    found: list[LockedArtifact] = []
    missing: list[RuntimeRequest] = []
    for request in runtimes_of(site.devices):
        kept = [a for a in (old.artifacts if old else ()) if serves(a, request)]
        if kept and all(is_here(a.digest) for a in kept):
            found += kept
            continue
        beside = f", with {', '.join(request.extras)}" if request.extras else ""
        python = request.python or "any"
        tell(f"runtime {request.engine} for {request.arch}, Python {python}{beside}")
        artifact = builder.runtime(request)
        if artifact is not None:
            found.append(locked(artifact, request.engine))
        elif kept:
            found += kept  # made on another machine; `store pull` brings it
        else:
            missing.append(request)
    return tuple(found), tuple(missing)


def _drivers(
    site: Site, old: Lock | None, driver: Callable[[str], Artifact]
) -> tuple[LockedArtifact, ...]:
    """The driver artifacts that classes of the site's devices name; what is locked needs no bytes here."""
    known = {a.digest: a for a in old.artifacts} if old is not None else {}
    wanted = sorted(
        {d.hardware.drivers.artifact for d in site.devices if d.hardware.drivers.artifact}
    )
    return tuple(known.get(Digest(w)) or locked(driver(w), "") for w in wanted)


def locked(artifact: Artifact, engine: str) -> LockedArtifact:
    """What the lock keeps of an artifact."""
    metadata = artifact.metadata
    requires = {k: v for k, v in vars(artifact.requires).items() if v is not None}
    measures = metadata.get("measures", {})
    precision = str(metadata.get("precision", ""))
    return LockedArtifact(
        digest=Digest(artifact.digest),
        kind=artifact.kind,
        name=artifact.name,
        version=artifact.version,
        variant=artifact.variant,
        epoch=artifact.epoch,
        size_bytes=artifact.size_bytes,
        engine=str(metadata.get("engine", engine)),
        engine_version=str(metadata.get("engine_version", "")),
        requires=tuple(sorted(requires.items())),
        measures=tuple(sorted((str(k), float(v)) for k, v in measures.items())),
        extras=tuple(metadata.get("extras", ())),
        precision=precision if precision in HALVES else "",
    )


def _unique(artifacts: Iterable[LockedArtifact]) -> tuple[LockedArtifact, ...]:
    return tuple({a.digest: a for a in artifacts}.values())


def _changes(old: Lock | None, new: Lock) -> Iterator[str]:
    before = {s.model: s for s in old.sources} if old else {}
    for source in new.sources:
        was = before.pop(source.model, None)
        asked = f"{source.rule} {source.wanted}"
        if was is None:
            yield f"{source.model}: {source.version} ({asked})"
        elif was.version != source.version:
            yield f"{source.model}: {was.version} -> {source.version} ({asked})"
        elif was.digest != source.digest:
            yield f"{source.model}: {source.version} has other files than before"
        elif not was.files and source.files:
            yield f"{source.model}: {source.version}, its files listed one by one"
    for gone in before.values():
        yield f"{gone.model}: no longer used"
    known = {a.digest for a in old.artifacts} if old else set()
    for artifact in new.artifacts:
        if artifact.kind != "model" and artifact.digest not in known:
            needs = ", ".join([*(f"{k} {v}" for k, v in artifact.requires), *artifact.extras])
            yield f"{artifact.kind} {artifact.name} {artifact.version} ({needs})"
