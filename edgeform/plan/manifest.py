"""Canonical manifests put together from parts that were encoded once.

Ten thousand manifests differ in a few values; encoding each as a whole would cost half of a plan. What
comes out is byte for byte what `Generation.encoded` gives (tests/property/test_plan_properties.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgeform_wire import canonical
from edgeform_wire.generation import ArtifactRef, Generation, PipelineUse

_NO_PIPELINES = '"pipelines":[]'
"""Stands once in a manifest without pipelines: within a text its quotes would be escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A pipeline of a manifest with its canonical JSON."""

    use: PipelineUse
    text: str


def written(use: PipelineUse) -> Written:
    return Written(use=use, text=canonical.encode(use.to_json()).decode())


class Frames:
    """Encodes generations; what stands around their pipelines is encoded once for all that share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, tuple[ArtifactRef, ...], int], tuple[str, str]] = {}

    def encoded(self, generation: Generation, pipelines: Iterable[Written]) -> str:
        """The generation's canonical JSON.

        Args:
            pipelines: those of the generation, encoded; it has no secrets.
        """
        key = (
            generation.site,
            generation.device,
            generation.artifacts,
            generation.keep_generations,
        )
        frame = self._known.get(key)
        if frame is None:
            whole = replace(generation, pipelines=()).encoded().decode()
            before, _, after = whole.partition(_NO_PIPELINES)
            frame = self._known[key] = (before + _NO_PIPELINES[:-1], "]" + after)
        ordered = sorted(pipelines, key=lambda one: one.use.name)
        return frame[0] + ",".join(one.text for one in ordered) + frame[1]
