"""Site and lock -> what every device should be, or why that cannot be said.

Devices of one class with the same pipelines share everything but their name, so the work is done
once per such kind and ten thousand devices take a fraction of a second (bench/plan.py).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Generic, TypeVar

from edgeform.diagnostics import Diagnostic, in_order
from edgeform.domain.artifacts import Lock, LockedArtifact, Model
from edgeform.domain.bulk import without_gc
from edgeform.domain.desired import Desired
from edgeform.domain.hardware import HardwareClass
from edgeform.domain.names import Digest
from edgeform.domain.pipeline import Pipeline, companion_models
from edgeform.domain.site import Device, SecretRef, Site
from edgeform.domain.stages.extras import extras_of
from edgeform.plan import contents, problems
from edgeform.plan.manifest import Frames, Written, written
from edgeform.plan.select import Chosen, Shelf, choose_model, choose_runtime
from edgeform_wire.generation import Generation, SecretUse

T = TypeVar("T")
SecretHmac = Callable[[str, str, SecretRef], str | None]
"""(device, secret's name, reference) -> an HMAC of its value, None when there is no value."""

_DEVICE_SLOT = "<device>"
"""Stands for the device's name in a shared manifest; no name may contain `<`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedTool:
    """The device tool that this controller carries.

    Args:
        artifact: digest of its signed manifest; what a deployment names.
        file: digest of the one file; what a device reports as its tool.
    """

    version: str
    artifact: str
    file: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Every device of the site is in `desired` or in `blocked`, never in both."""

    desired: tuple[Desired, ...]
    blocked: tuple[tuple[str, tuple[Diagnostic, ...]], ...]

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All problems, each once, with the devices it concerns named in it."""
        return in_order(problem for _, found in self.blocked for problem in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What all devices of one class with the same pipelines share."""

    generation: Generation
    before: str
    after: str
    artifacts: tuple[LockedArtifact, ...]
    secrets: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...]
    problems: tuple[Diagnostic, ...]


def no_secrets(device: str, name: str, reference: SecretRef) -> str | None:
    """A resolver of secrets that has none."""
    del device, name, reference
    return None


def resolve(
    site: Site, lock: Lock, tool: ShippedTool | None = None, hmac_of: SecretHmac = no_secrets
) -> Resolution:
    """What every device of the site should be.

    Args:
        tool: the device tool to bring along; None leaves the devices' own alone.
        hmac_of: tells secrets apart without showing them; it is called once per device and secret.
    """
    with without_gc():
        return _resolved(site, lock, tool, hmac_of)


def _resolved(site: Site, lock: Lock, tool: ShippedTool | None, hmac_of: SecretHmac) -> Resolution:
    kinds = _Kinds(site, lock)
    desired: list[Desired] = []
    stuck: list[tuple[str, tuple[Diagnostic, ...]]] = []
    for device in site.devices:
        kind = kinds.of(device)
        found = kind.problems or _unknown_secrets(device, kind)
        uses: tuple[SecretUse, ...] = ()
        if not found and kind.secrets:
            uses, found = _secrets(device, kind, hmac_of)
        if found:
            stuck.append((device.name, found))
            continue
        desired.append(_desired(device, kind, uses, tool))
    return Resolution(desired=tuple(desired), blocked=_with_devices(stuck))


class _Same(Generic[T]):
    """One object for all that are equal, so that everything else can tell by identity.

    Each object is hashed once, however many devices share it; the site holds them alive meanwhile.
    """

    def __init__(self) -> None:
        self._by_identity: dict[int, T] = {}
        self._by_value: dict[T, T] = {}

    def of(self, value: T) -> T:
        found = self._by_identity.get(id(value))
        if found is None:
            found = self._by_value.setdefault(value, value)
            self._by_identity[id(value)] = found
        return found


class _Kinds:
    """Answers per kind of device, each worked out once."""

    def __init__(self, site: Site, lock: Lock) -> None:
        self._site_name = site.name
        self._models: Mapping[str, Model] = {model.name: model for model in site.models}
        self._shelf = Shelf(lock)
        self._by_digest = {artifact.digest: artifact for artifact in lock.artifacts}
        self._writer = contents.PipelineWriter()
        self._frames = Frames()
        self._runtimes: dict[tuple[int, tuple[str, ...]], Chosen | Diagnostic] = {}
        self._chosen: dict[tuple[str, int, float | None, str], Chosen | Diagnostic] = {}
        self._uses: dict[tuple[int, int, str], Written] = {}
        self._kinds: dict[tuple[int, ...], _Kind] = {}
        self._classes = _Same[HardwareClass]()
        self._pipelines = _Same[Pipeline]()

    def of(self, device: Device) -> _Kind:
        hardware = self._classes.of(device.hardware)
        pipelines = tuple(map(self._pipelines.of, device.pipelines))
        identity = (id(hardware), device.keep_generations, *map(id, pipelines))
        kind = self._kinds.get(identity)
        if kind is None:
            kind = self._worked_out(hardware, pipelines, device.keep_generations)
            self._kinds[identity] = kind
        return kind

    def _worked_out(
        self, hardware: HardwareClass, pipelines: tuple[Pipeline, ...], keep_generations: int
    ) -> _Kind:
        found: list[Diagnostic] = []
        reasons: list[tuple[str, str]] = []
        used: dict[str, LockedArtifact] = {}
        uses: list[Written] = []
        driver = hardware.drivers.artifact
        if driver is not None and (locked := self._by_digest.get(Digest(driver))) is not None:
            used[driver] = locked
        elif driver is not None:
            found.append(problems.driver_not_locked(hardware.name, driver))
        runtime = self._runtime(hardware, extras_of(pipelines)) if pipelines else None
        if isinstance(runtime, Diagnostic):
            found.append(runtime)
        for pipeline in pipelines:
            if not isinstance(runtime, Chosen):
                break
            model = self._chosen_model(pipeline, hardware, runtime.artifact)
            if isinstance(model, Diagnostic):
                found.append(model)
                continue
            used[runtime.artifact.digest] = runtime.artifact
            beside = self._beside(pipeline, hardware, runtime.artifact)
            refused = tuple(c for c in beside.values() if isinstance(c, Diagnostic))
            if refused:
                found += refused
                continue
            chosen = {n: c for n, c in beside.items() if isinstance(c, Chosen)}
            for one in (model, *chosen.values()):
                used[one.artifact.digest] = one.artifact
                reasons.append((one.artifact.name, one.why))
            artifacts_beside = {n: c.artifact for n, c in chosen.items()}
            uses.append(
                self._use(pipeline, hardware, runtime.artifact, model.artifact, artifacts_beside)
            )
        if isinstance(runtime, Chosen):
            reasons.append((runtime.artifact.name, runtime.why))
        artifacts = tuple(used[digest] for digest in sorted(used))
        generation = Generation(
            site=self._site_name,
            device=_DEVICE_SLOT,
            artifacts=tuple(contents.reference(artifact) for artifact in artifacts),
            pipelines=tuple(written.use for written in uses),
            keep_generations=keep_generations,
        )
        before, _, after = self._frames.encoded(generation, uses).partition(_DEVICE_SLOT)
        return _Kind(
            generation=generation,
            before=before,
            after=after,
            artifacts=artifacts,
            secrets=tuple(sorted({name for written in uses for name in written.use.secrets})),
            reasons=tuple(dict.fromkeys(reasons)),
            problems=tuple(dict.fromkeys(found)),
        )

    def _use(
        self,
        pipeline: Pipeline,
        hardware: HardwareClass,
        runtime: LockedArtifact,
        model: LockedArtifact,
        beside: Mapping[str, LockedArtifact],
    ) -> Written:
        # The class and the runtime, whose extras the other pipelines decide too, decide which model.
        key = (id(pipeline), id(hardware), runtime.digest)
        found = self._uses.get(key)
        if found is None:
            use = self._writer.use(pipeline, hardware, runtime=runtime, model=model, beside=beside)
            found = self._uses[key] = written(use)
        return found

    def _runtime(self, hardware: HardwareClass, extras: tuple[str, ...]) -> Chosen | Diagnostic:
        key = (id(hardware), extras)
        found = self._runtimes.get(key)
        if found is None:
            found = self._runtimes[key] = choose_runtime(self._shelf, hardware, extras)
        return found

    def _beside(
        self, pipeline: Pipeline, hardware: HardwareClass, runtime: LockedArtifact
    ) -> Mapping[str, Chosen | Diagnostic]:
        """What was chosen for the models beside the pipeline's own; they have no latency to keep."""
        return {
            name: self._chosen_of(pipeline, name, hardware, runtime, None)
            for _, name in companion_models(pipeline)
        }

    def _chosen_model(
        self, pipeline: Pipeline, hardware: HardwareClass, runtime: LockedArtifact
    ) -> Chosen | Diagnostic:
        objective_ms = pipeline.checks.p50_ms
        return self._chosen_of(pipeline, pipeline.infer.model, hardware, runtime, objective_ms)

    def _chosen_of(
        self,
        pipeline: Pipeline,
        name: str,
        hardware: HardwareClass,
        runtime: LockedArtifact,
        p50_ms: float | None,
    ) -> Chosen | Diagnostic:
        model = self._models.get(name)
        if model is None:
            return problems.unknown_model(pipeline.name, name)
        key = (name, id(hardware), p50_ms, runtime.digest)
        found = self._chosen.get(key)
        if found is None:
            found = choose_model(self._shelf, model, hardware, p50_ms, runtime)
            self._chosen[key] = found
        return found


def _desired(
    device: Device, kind: _Kind, uses: tuple[SecretUse, ...], tool: ShippedTool | None
) -> Desired:
    generation = kind.generation
    if uses:
        generation = replace(generation, secrets=uses)
        manifest = replace(generation, device=device.name).encoded().decode()
    else:
        manifest = f"{kind.before}{device.name}{kind.after}"
    references = dict(device.secrets)
    return Desired(
        device=device.name,
        generation_digest="sha256:" + sha256(manifest.encode()).hexdigest(),
        manifest=manifest,
        generation=generation,
        artifacts=kind.artifacts,
        drivers=device.hardware.drivers,
        secrets=tuple((use.name, references[use.name]) for use in uses),
        tool=tool.artifact if tool is not None else "",
        reasons=kind.reasons,
    )


def _unknown_secrets(device: Device, kind: _Kind) -> tuple[Diagnostic, ...]:
    if not kind.secrets:
        return ()
    declared = {name for name, _ in device.secrets}
    return tuple(
        problems.unknown_secret(pipeline.name, secret)
        for pipeline in device.pipelines
        for secret in pipeline.secrets
        if secret not in declared
    )


def _secrets(
    device: Device, kind: _Kind, hmac_of: SecretHmac
) -> tuple[tuple[SecretUse, ...], tuple[Diagnostic, ...]]:
    references = dict(device.secrets)
    uses: list[SecretUse] = []
    missing: list[Diagnostic] = []
    for name in kind.secrets:
        hmac = hmac_of(device.name, name, references[name])
        if hmac is None:
            missing.append(problems.secret_missing(name, str(references[name])))
        else:
            uses.append(SecretUse(name=name, hmac=hmac))
    return tuple(uses), tuple(missing)


def _with_devices(
    stuck: Iterable[tuple[str, tuple[Diagnostic, ...]]],
) -> tuple[tuple[str, tuple[Diagnostic, ...]], ...]:
    """The same, every problem naming all devices that have it, so that it is told once."""
    stuck = tuple(stuck)
    concerned: dict[Diagnostic, list[str]] = {}
    for device, found in stuck:
        for problem in found:
            concerned.setdefault(problem, []).append(device)
    told = {
        problem: replace(
            problem, detail=f"{problem.detail}\nDevices: {problems.named(tuple(devices))}."
        )
        for problem, devices in concerned.items()
    }
    return tuple((device, tuple(told[problem] for problem in found)) for device, found in stuck)
