"""Which form of a model and which runtime closure a kind of device gets, and why.

Pure choice over what the lock names; a choice that cannot be made is a diagnostic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from edgeform.diagnostics import Diagnostic
from edgeform.domain.artifacts import Lock, LockedArtifact, Model, Variant
from edgeform.domain.build_request import request_of
from edgeform.domain.hardware import HOST_VERSION, HardwareClass
from edgeform.plan import problems

ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    artifact: LockedArtifact
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A variant that may run here, with its artifact; `rank` is its place in the order of wish."""

    variant: Variant
    artifact: LockedArtifact
    rank: int


class Shelf:
    """A lock, indexed by what planning asks for."""

    def __init__(self, lock: Lock) -> None:
        self.versions: Mapping[str, str] = dict(lock.versions)
        self.sources: Mapping[str, str] = {s.model: s.digest for s in lock.sources}
        self._models: dict[tuple[str, str, str], list[LockedArtifact]] = {}
        self._runtimes: dict[str, list[LockedArtifact]] = {}
        for artifact in lock.artifacts:
            if artifact.kind == "model":
                key = (artifact.name, artifact.version, artifact.variant)
                self._models.setdefault(key, []).append(artifact)
            elif artifact.kind == "runtime":
                self._runtimes.setdefault(artifact.engine, []).append(artifact)

    def models(self, name: str, version: str, variant: str) -> tuple[LockedArtifact, ...]:
        return tuple(self._models.get((name, version, variant), ()))

    def runtimes(self, engine: str) -> tuple[LockedArtifact, ...]:
        return tuple(self._runtimes.get(engine, ()))


def choose_runtime(
    shelf: Shelf, hardware: HardwareClass, extras: tuple[str, ...] = ()
) -> Chosen | Diagnostic:
    """The newest engine that the class allows, built for the newest glibc that it has.

    It holds the stage extras that the device's pipelines ask for and no others.
    """
    engine = hardware.runtime.engine
    offered = shelf.runtimes(engine)
    wanted_version = hardware.runtime.version
    fitting = [
        artifact
        for artifact in offered
        if fits(artifact, hardware)
        and artifact.extras == extras
        and (wanted_version is None or artifact.engine_version in (wanted_version, HOST_VERSION))
    ]
    if not fitting:
        return problems.no_runtime(
            engine, _wanted(hardware, extras), tuple(sorted(_described(a) for a in offered))
        )
    best = max(
        fitting,
        key=lambda a: (
            numbers(a.engine_version),
            numbers(a.version),
            numbers(a.required("glibc") or "0"),
            numbers(a.required("python") or "0"),
            a.digest,
        ),
    )
    why = "asked for by the class" if wanted_version else "newest in the lock that fits"
    return Chosen(artifact=best, why=f"{engine} {best.engine_version}, {why}")


def choose_model(
    shelf: Shelf,
    model: Model,
    hardware: HardwareClass,
    p50_ms: float | None,
    runtime: LockedArtifact,
) -> Chosen | Diagnostic:
    """The variant that measured best among those that fit; where figures lack, the first wished for.

    Variants that met the pipeline's own latency objective (`p50_ms`) go before those that did not;
    then the most accurate, then the fastest, then the order of wish.
    """
    version = shelf.versions.get(model.name)
    if version is None:
        return problems.model_not_locked(model.name)
    allowed = [
        (rank, variant)
        for rank, variant in enumerate(model.variants)
        if variant.engine == hardware.runtime.engine
        and (hardware.accelerator in variant.accelerators or ANY in variant.accelerators)
    ]
    locked = [
        (rank, variant, artifact)
        for rank, variant in allowed
        for artifact in shelf.models(model.name, version, variant.name)
        if _is_as_asked(variant, artifact, shelf.sources.get(model.name, ""))
    ]
    # Never another variant because somebody forgot to build: a fleet would change its precision in silence.
    there = {variant.name for _, variant, _ in locked}
    unbuilt = tuple(v.name for _, v in allowed if v.build is not None and v.name not in there)
    if unbuilt:
        return problems.variant_not_built(model.name, version, unbuilt, "build")
    if allowed and not locked:
        return problems.variant_not_built(model.name, version, tuple(v.name for _, v in allowed))
    candidates = tuple(
        Candidate(variant=variant, artifact=artifact, rank=rank)
        for rank, variant, artifact in locked
        if fits(artifact, hardware) and _runs_on(artifact, runtime)
    )
    if not candidates:
        return problems.no_variant_fits(
            model.name,
            hardware.accelerator,
            hardware.runtime.engine,
            hardware.arch,
            tuple(f"{v.name} ({v.engine}: {', '.join(v.accelerators)})" for v in model.variants),
        )
    return _best(candidates, p50_ms)


def _is_as_asked(variant: Variant, artifact: LockedArtifact, source: str) -> bool:
    """Whether a built variant is what the site asks for now; a file of the version always is."""
    return variant.build is None or artifact.request == request_of(variant, variant.build, source)


def fits(artifact: LockedArtifact, hardware: HardwareClass) -> bool:
    """Whether the artifact's demands hold for the class; what the class leaves open is not judged."""
    for name, wanted in artifact.requires:
        if name == "arch" and wanted != hardware.arch:
            return False
        if name == "accelerator" and wanted != hardware.accelerator:
            return False
        if name == "python" and hardware.python is not None and wanted != minor(hardware.python):
            return False
        if (
            name == "glibc"
            and hardware.glibc is not None
            and numbers(wanted) > numbers(hardware.glibc)
        ):
            return False
    return True


def minor(version: str) -> str:
    """`3.11` of `3.11.2`."""
    return ".".join(version.split(".")[:2])


@lru_cache(maxsize=1024)
def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that compare; letters behind a number are left out."""
    found = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def _runs_on(artifact: LockedArtifact, runtime: LockedArtifact) -> bool:
    wanted = artifact.required("runtime")
    names = (
        runtime.engine,
        runtime.engine_version,
        f"{runtime.engine}-{runtime.engine_version}",
    )
    return wanted is None or wanted in names


def _best(candidates: tuple[Candidate, ...], p50_ms: float | None) -> Chosen:
    if len(candidates) == 1:
        only = candidates[0]
        return Chosen(artifact=only.artifact, why=f"{only.variant.name}: the only one that fits")
    quick = _within(candidates, p50_ms)
    if any(c.artifact.measure("accuracy") is None for c in quick):
        first = min(quick, key=lambda c: c.rank)
        return Chosen(
            artifact=first.artifact,
            why=f"{first.variant.name}: first in order of wish, not all measured",
        )
    ranked = sorted(quick, key=_merit)
    best, *rest = ranked
    others = ", ".join(f"{c.variant.name} {_figures(c.artifact)}" for c in rest)
    against = f" (against {others})" if others else ""
    too_slow = len(candidates) - len(quick)
    slower = f"; {too_slow} slower than the objective of {p50_ms:g} ms" if too_slow else ""
    return Chosen(
        artifact=best.artifact,
        why=f"{best.variant.name}: {_figures(best.artifact)}{against}{slower}",
    )


def _within(candidates: tuple[Candidate, ...], p50_ms: float | None) -> tuple[Candidate, ...]:
    """Those measured within the objective; all of them when there is none or nobody meets it."""
    if p50_ms is None:
        return candidates
    quick = tuple(
        c
        for c in candidates
        if (measured := c.artifact.measure("p50_ms")) is not None and measured <= p50_ms
    )
    return quick or candidates


def _merit(candidate: Candidate) -> tuple[float, float, int]:
    accuracy = candidate.artifact.measure("accuracy")
    p50_ms = candidate.artifact.measure("p50_ms")
    return (
        -(0.0 if accuracy is None else accuracy),
        float("inf") if p50_ms is None else p50_ms,
        candidate.rank,
    )


def _figures(artifact: LockedArtifact) -> str:
    shown = []
    accuracy = artifact.measure("accuracy")
    if accuracy is not None:
        shown.append(f"accuracy {accuracy:.3f}")
    p50_ms = artifact.measure("p50_ms")
    if p50_ms is not None:
        shown.append(f"p50 {p50_ms:g} ms")
    return ", ".join(shown) or "not measured"


def _wanted(hardware: HardwareClass, extras: tuple[str, ...]) -> str:
    parts: Iterable[str | None] = (
        f"{hardware.runtime.engine} {hardware.runtime.version or ''}".strip(),
        hardware.arch,
        f"glibc <= {hardware.glibc}" if hardware.glibc else None,
        f"Python {minor(hardware.python)}" if hardware.python else None,
        f"with the stage extras {', '.join(extras)}" if extras else None,
    )
    return ", ".join(part for part in parts if part)


def _described(artifact: LockedArtifact) -> str:
    demands = ", ".join(
        [*(f"{name} {value}" for name, value in artifact.requires), *artifact.extras]
    )
    return f"{artifact.engine} {artifact.engine_version} ({demands})"
