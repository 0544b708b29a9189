"""Generation manifests: WHAT a device shall run. The digest is the identity diff and drift compare."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from edgeform_wire import artifact, canonical
from edgeform_wire.companions import companions
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.generation/1"


@dataclass(frozen=True)
class ArtifactRef:
    """An artifact a generation uses: its identity, and enough words for people to recognise it."""

    digest: str
    kind: str
    name: str
    version: str
    variant: str
    size_bytes: int
    epoch: int

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class SecretUse:
    """A secret a generation needs: its name, and an HMAC that changes when the value does."""

    name: str
    hmac: str

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class PipelineUse:
    """One pipeline of a generation.

    Args:
        runtime, model: digests of artifacts in the same manifest.
        engine: the engine's name, as in the closure.
        stages: the six stages, as schemas/pipeline.schema.json describes them.
        checks: what must hold before a commit (docs/reference/checks.md).
        limits: memory_bytes, cpu_percent; absent means unlimited.
        secrets: names the service may read.
    """

    name: str
    runtime: str
    model: str
    engine: str
    stages: Dict[str, Any]
    checks: Dict[str, Any]
    limits: Dict[str, Any]
    secrets: Tuple[str, ...] = ()

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self), secrets=list(self.secrets))


@dataclass(frozen=True)
class Generation:
    """What one device shall run; immutable, compared and named by its digest."""

    site: str
    device: str
    artifacts: Tuple[ArtifactRef, ...]
    pipelines: Tuple[PipelineUse, ...]
    secrets: Tuple[SecretUse, ...] = ()
    keep_generations: int = 3

    def to_json(self) -> Dict[str, Any]:
        return {
            "schema": SCHEMA,
            "site": self.site,
            "device": self.device,
            "artifacts": [a.to_json() for a in sorted(self.artifacts, key=lambda a: a.digest)],
            "pipelines": [p.to_json() for p in sorted(self.pipelines, key=lambda p: p.name)],
            "secrets": [s.to_json() for s in sorted(self.secrets, key=lambda s: s.name)],
            "keep_generations": self.keep_generations,
        }

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())

    @property
    def digest(self) -> str:
        return canonical.digest_of(self.to_json())

    def artifact(self, digest: str) -> Optional[ArtifactRef]:
        return next((a for a in self.artifacts if a.digest == digest), None)


def decode(document: bytes) -> Generation:
    return from_json(canonical.decode(document, "generation manifest"))


def from_json(value: Any) -> Generation:
    """The generation of a received object.

    Raises:
        WireError: not the agreed form, or a pipeline that names an artifact the manifest lacks.
    """
    fields = schema_of(value, SCHEMA, "generation")
    found = Generation(
        site=artifact.check_segment(fields.text("site"), "generation.site"),
        device=artifact.check_segment(fields.text("device"), "generation.device"),
        artifacts=fields.each("artifacts", _artifact_ref),
        pipelines=fields.each("pipelines", _pipeline),
        secrets=fields.each("secrets", _secret),
        keep_generations=fields.integer("keep_generations", minimum=1),
    )
    fields.done()
    known = {a.digest for a in found.artifacts}
    for pipeline in found.pipelines:
        beside = (digest for _, digest in companions(pipeline.stages))
        for used in (pipeline.runtime, pipeline.model, *beside):
            if used not in known:
                raise WireError(
                    f"pipeline {pipeline.name!r} uses {used}, which the generation does not list"
                )
    return found


def _artifact_ref(value: Any, what: str) -> ArtifactRef:
    fields = Fields(value, what)
    found = ArtifactRef(
        digest=fields.digest("digest"),
        kind=fields.choice("kind", artifact.KINDS),
        name=artifact.check_segment(fields.text("name"), what),
        version=artifact.check_segment(fields.text("version"), what),
        variant=artifact.check_segment(fields.text("variant"), what),
        size_bytes=fields.integer("size_bytes"),
        epoch=fields.integer("epoch"),
    )
    fields.done()
    return found


def _pipeline(value: Any, what: str) -> PipelineUse:
    fields = Fields(value, what)
    found = PipelineUse(
        name=artifact.check_segment(fields.text("name"), what + ".name"),
        runtime=fields.digest("runtime"),
        model=fields.digest("model"),
        engine=fields.text("engine"),
        stages=fields.object("stages"),
        checks=fields.object("checks"),
        limits=fields.object("limits"),
        secrets=fields.texts("secrets"),
    )
    fields.done()
    return found


def _secret(value: Any, what: str) -> SecretUse:
    fields = Fields(value, what)
    found = SecretUse(
        name=artifact.check_segment(fields.text("name"), what), hmac=fields.text("hmac")
    )
    fields.done()
    return found
