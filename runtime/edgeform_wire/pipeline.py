"""The pipeline file: what one runtime process is told, as `gen/<n>/pipelines/<name>.json`.

Paths are relative to the prefix, so that a prefix can stand anywhere. Written by the device tool from
the generation manifest; read by the runtime and by nobody else.
"""

from dataclasses import dataclass
from typing import Any, Dict, Tuple

from edgeform_wire import artifact, canonical
from edgeform_wire.fields import schema_of

SCHEMA = "edgeform.pipeline/1"
STAGES = ("capture", "preprocess", "infer", "postprocess", "action", "report")


@dataclass(frozen=True)
class PipelineFile:
    """One pipeline ready to run: where its trees are, and its six stages."""

    name: str
    site: str
    device: str
    generation: int
    generation_digest: str
    model_ref: str
    runtime_tree: str
    model_tree: str
    engine: str
    stages: Dict[str, Any]
    secrets: Tuple[str, ...]

    def to_json(self) -> Dict[str, Any]:
        value: Dict[str, Any] = {"schema": SCHEMA}
        value.update(vars(self))
        value["secrets"] = list(self.secrets)
        return value

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())

    @property
    def content_digest(self) -> str:
        """What runs, whichever generation it is of: equal for a pipeline that a new generation left alone."""
        value = self.to_json()
        for name in ("generation", "generation_digest"):
            del value[name]
        return canonical.digest_of(value)


def decode(document: bytes) -> PipelineFile:
    """The pipeline of a file's bytes.

    Raises:
        WireError: not the agreed form.
    """
    fields = schema_of(canonical.decode(document, "pipeline file"), SCHEMA, "pipeline")
    found = PipelineFile(
        name=artifact.check_segment(fields.text("name"), "pipeline.name"),
        site=fields.text("site"),
        device=fields.text("device"),
        generation=fields.integer("generation"),
        generation_digest=fields.digest("generation_digest"),
        model_ref=fields.text("model_ref"),
        runtime_tree=fields.text("runtime_tree"),
        model_tree=fields.text("model_tree"),
        engine=fields.text("engine"),
        stages=fields.object("stages"),
        secrets=fields.texts("secrets"),
    )
    fields.done()
    return found
