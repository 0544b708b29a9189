"""Variants of a site, built side by side: what is asked, what the store has, what came out."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeform import events
from edgeform.build import datasets
from edgeform.build.builders import Builders
from edgeform.build.datasets import DataSet
from edgeform.build.derivation import Derivation, differences
from edgeform.build.failure import VariantRefused
from edgeform.build.jobs import JobLimits
from edgeform.build.recipes import Workshop
from edgeform.build.stages import stages_of
from edgeform.build.tree import no_space
from edgeform.build.variants import (
    VariantRequest,
    build_variant,
    check_data,
    derivation_of,
    refused,
)
from edgeform.cli.building import StoreSink
from edgeform.domain.artifacts import Lock, LockedArtifact, Model, Variant, VersionRule
from edgeform.domain.build_request import request_of
from edgeform.domain.builds import SYNTHETIC, Build
from edgeform.domain.names import Digest
from edgeform.domain.site import Site
from edgeform.errors import EdgeformError, UsageError
from edgeform.lock.resolve import locked
from edgeform.registry.base import Registry, fetch
from edgeform.spec.shape import nearest
from edgeform.store.artifacts import Artifacts
from edgeform.store.derivations import Built, Derivations
from edgeform_wire.artifact import Artifact

BUILT, CACHED, REFUSED, FAILED, NEEDED = "built", "cached", "refused", "failed", "needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One variant to build, and the model that it is of."""

    model: Model
    variant: Variant
    build: Build

    @property
    def subject(self) -> str:
        return f"{self.model.name}/{self.variant.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one variant.

    Args:
        state: `built`, `cached`, `needed` (it would be built, and nobody wanted that), `refused`, `failed`.
        why: why it is built again; empty when nothing changed.
        locked: what the lock gets. report: as `BuildReport.to_json`; empty where nothing was found out.
    """

    asked: Asked
    state: str
    derivation: str = ""
    why: tuple[str, ...] = ()
    locked: LockedArtifact | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    error: EdgeformError | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How to build.

    Args:
        is_dry: only look what would be built. forces_synthetic: calibrate without data where asked for.
    """

    jobs: int = 1
    limits: JobLimits = field(default_factory=JobLimits)
    is_dry: bool = False
    forces_synthetic: bool = False


def asked_of(site: Site, models: Iterable[str], hardware_class: str | None) -> tuple[Asked, ...]:
    """The variants that are built, of these models (of all: none named) and for this class.

    Raises:
        UsageError: a model or class that the site does not have.
    """
    wanted = tuple(models)
    known = {model.name: model for model in site.models}
    for name in wanted:
        if name not in known:
            raise UsageError(f"The site has no model {name!r}.", hint=nearest(name, known))
    kind = next((c for c in site.classes if c.name == hardware_class), None)
    if hardware_class is not None and kind is None:
        names = [c.name for c in site.classes]
        hint = nearest(hardware_class, names) or "Classes: " + ", ".join(sorted(names))
        raise UsageError(f"The site has no class {hardware_class!r}.", hint=hint)
    return tuple(
        Asked(model=model, variant=variant, build=variant.build)
        for model in site.models
        if not wanted or model.name in wanted
        for variant in model.variants
        if variant.build is not None
        and (
            kind is None
            or (
                variant.engine == kind.runtime.engine
                and {kind.accelerator, "*"} & set(variant.accelerators)
            )
        )
    )


class VariantShop:
    """Builds variants of one site into one store."""

    def __init__(
        self,
        *,
        site: Site,
        site_dir: Path,
        lock: Lock,
        registries: Mapping[str, Registry],
        artifacts: Artifacts,
        builders: Builders,
        work_dir: Path,
        wishes: Wishes,
        listener: events.Listener,
    ) -> None:
        self._site, self._site_dir, self._lock = site, site_dir, lock
        self._registries, self._artifacts, self._builders = registries, artifacts, builders
        self._work_dir, self._wishes, self._listener = work_dir, wishes, listener
        self._derivations = Derivations(artifacts)
        self._sets: dict[str, DataSet] = {}
        self._folders: dict[str, Path] = {}

    def outcomes(self, asked: tuple[Asked, ...]) -> tuple[Outcome, ...]:
        """What became of each, in the order asked; one that fails does not stop the others."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        _sweep(self._work_dir)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self._work_dir) as work:
            ready = [self._prepared(one, Path(work)) for one in asked]
            with ThreadPoolExecutor(max_workers=max(1, self._wishes.jobs)) as pool:
                return tuple(
                    pool.map(lambda each: self._outcome(each[0], each[1], Path(work)), ready)
                )

    def _prepared(self, asked: Asked, work: Path) -> tuple[Asked, VariantRequest | EdgeformError]:
        """One after the other: sources and data sets are read once for all who need them."""
        try:
            return asked, self._request(asked, work)
        except EdgeformError as exc:
            return asked, exc

    def _request(self, asked: Asked, work: Path) -> VariantRequest:
        source = next((s for s in self._lock.sources if s.model == asked.model.name), None)
        if source is None:
            raise UsageError(
                f"edgeform.lock holds no version of model {asked.model.name!r}.",
                hint=f"edgeform lock --update {asked.model.name}",
            )
        build = asked.build
        is_synthetic = build.calibration == SYNTHETIC
        calibration = (
            self._data(build.calibration) if build.calibration and not is_synthetic else None
        )
        request = VariantRequest(
            model=asked.model.name,
            version=source.version,
            epoch=asked.model.epoch,
            variant=asked.variant,
            build=build,
            folder=self._source(asked.model, source.version, work),
            source_digest=source.digest,
            stages=stages_of(self._site, asked.model.name, build.pipeline),
            evaluation=self._data(build.evaluation),
            calibration=calibration,
            is_synthetic=is_synthetic or bool(calibration and calibration.is_synthetic),
        )
        check_data(request, is_forced=self._wishes.forces_synthetic)
        return request

    def _data(self, folder: str) -> DataSet:
        if folder not in self._sets:
            self._sets[folder] = datasets.read(self._site_dir / folder)
        return self._sets[folder]

    def _source(self, model: Model, version: str, work: Path) -> Path:
        if model.name not in self._folders:
            registry = self._registries[model.registry]
            resolved = registry.resolve(model.source, VersionRule.EXACT, version)
            self._folders[model.name] = fetch(registry, resolved, work / "sources" / model.name)
        return self._folders[model.name]

    def _outcome(
        self, asked: Asked, request: VariantRequest | EdgeformError, work: Path
    ) -> Outcome:
        began = time.monotonic()
        if isinstance(request, EdgeformError):
            found = Outcome(asked=asked, state=FAILED, error=request)
        else:
            found = self._built(asked, request, work)
        seconds = time.monotonic() - began
        if found.state != NEEDED:
            self._listener(
                events.VariantFinished(
                    variant=asked.subject,
                    outcome=found.state,
                    detail=_told(found),
                    seconds=seconds,
                )
            )
        return found

    def _built(self, asked: Asked, request: VariantRequest, work: Path) -> Outcome:
        why: tuple[str, ...] = ()
        digest = ""
        try:
            derivation = derivation_of(request)
            digest = derivation.digest
            known = self._derivations.get(digest)
            if known is not None and known.artifact is not None:
                return self._cached(asked, request, known, known.artifact)
            if known is not None:
                return Outcome(
                    asked=asked,
                    state=REFUSED,
                    derivation=digest,
                    report=known.report,
                    error=refused(asked.model.name, asked.variant.name, known.refusal),
                )
            why = self._why(asked, derivation)
            if self._wishes.is_dry:
                return Outcome(asked=asked, state=NEEDED, derivation=digest, why=why)
            return self._make(asked, request, derivation, why, work)
        except VariantRefused as exc:
            report = exc.report.to_json() if exc.report is not None else {}
            with contextlib.suppress(
                OSError
            ):  # it is found out again, if there is no room to note it
                self._remember(asked, derivation, None, report, exc.detail)
            return Outcome(
                asked=asked, state=REFUSED, derivation=digest, why=why, report=report, error=exc
            )
        except EdgeformError as exc:
            return Outcome(asked=asked, state=FAILED, derivation=digest, why=why, error=exc)
        except OSError as exc:
            error = no_space(exc, work)
            return Outcome(asked=asked, state=FAILED, derivation=digest, why=why, error=error)

    def _cached(self, asked: Asked, request: VariantRequest, known: Built, digest: str) -> Outcome:
        artifact = self._artifacts.get(digest)
        return Outcome(
            asked=asked,
            state=CACHED,
            derivation=known.derivation,
            locked=_locked(artifact, asked, request, known.derivation),
            report=known.report,
        )

    def _make(
        self,
        asked: Asked,
        request: VariantRequest,
        derivation: Derivation,
        why: tuple[str, ...],
        work: Path,
    ) -> Outcome:
        def tell(text: str) -> None:
            self._listener(events.BuildNote(variant=asked.subject, text=text))

        folder = Path(tempfile.mkdtemp(prefix=f"{asked.variant.name}-", dir=work))
        try:
            shop = Workshop(
                builders=self._builders, limits=self._wishes.limits, folder=folder, tell=tell
            )
            found = build_variant(request, shop, StoreSink(self._artifacts.objects))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        # Blobs first, manifest, index, and the record last: whenever this is cut off, nothing is named that
        # is not wholly there.
        self._artifacts.index(found.artifact.encoded())
        report = found.report.to_json()
        self._remember(asked, derivation, found.artifact.digest, report)
        return Outcome(
            asked=asked,
            state=BUILT,
            derivation=derivation.digest,
            why=why,
            locked=_locked(found.artifact, asked, request, derivation.digest),
            report=report,
        )

    def _remember(
        self,
        asked: Asked,
        derivation: Derivation,
        artifact: str | None,
        report: Mapping[str, Any],
        refusal: str = "",
    ) -> None:
        self._derivations.put(
            Built(
                subject=asked.subject,
                document=derivation.to_json(),
                artifact=artifact,
                report=report,
                refusal=refusal,
            )
        )

    def _why(self, asked: Asked, derivation: Derivation) -> tuple[str, ...]:
        """What changed since the variant was last built here."""
        before = next(self._derivations.of_subject(asked.subject), None)
        if before is None:
            return ("it was never built here",)
        if before.derivation == derivation.digest:
            return ("its artifact is no longer in the store",)
        return differences(before.document, derivation.to_json())


_PREFIX = "edgeform-build-"
_STALE_S = 24 * 3600.0


def _sweep(folder: Path) -> None:
    """Remove what builds left that were killed long ago; one that still runs is younger."""
    for old in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_S:
                shutil.rmtree(old, ignore_errors=True)


def _locked(
    artifact: Artifact, asked: Asked, request: VariantRequest, derivation: str
) -> LockedArtifact:
    return replace(
        locked(artifact, asked.variant.engine),
        derivation=Digest(derivation),
        request=request_of(asked.variant, asked.build, request.source_digest),
    )


def _told(found: Outcome) -> str:
    if found.error is not None:
        return found.error.detail.splitlines()[0]
    rung = found.report.get("taken")
    return "" if rung in (None, "as asked") else f"by the ladder: {rung}"
