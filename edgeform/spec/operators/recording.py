"""The recording of a pipeline out of proven values."""

from edgeform.domain.recording import Mask, Recording, Region
from edgeform.spec.fields import (
    Mapping,
    block,
    blocks,
    boolean_or,
    integer_or,
    items,
    number,
    number_or,
    size_or,
    text,
    texts,
)

_DEFAULT = Recording()


def recording(pipeline: Mapping) -> Recording | None:
    """What the pipeline keeps; None where its spec has no `recording`, or a null."""
    if not isinstance(pipeline.get("recording"), dict):
        return None
    spec = block(pipeline, "recording")
    return Recording(
        frames=integer_or(spec, "frames", _DEFAULT.frames),
        ring_bytes=size_or(spec, "ring_bytes", _DEFAULT.ring_bytes),
        when=text(spec, "when"),
        drift_above=number(spec, "drift_above"),
        on_failure=boolean_or(spec, "on_failure", default=_DEFAULT.on_failure),
        cooldown_s=number_or(spec, "cooldown_s", _DEFAULT.cooldown_s),
        mask=_mask(block(spec, "mask")),
        max_bytes=size_or(spec, "max_bytes", _DEFAULT.max_bytes),
        max_age_s=number_or(spec, "max_age_s", _DEFAULT.max_age_s),
    )


def _mask(spec: Mapping) -> Mask:
    return Mask(
        regions=tuple(_region(item) for item in blocks(spec, "regions")),
        channels=tuple(item for item in items(spec, "channels") if isinstance(item, int)),
        text=texts(spec, "text"),
    )


def _region(spec: Mapping) -> Region:
    return Region(
        left=number_or(spec, "left", 0.0),
        top=number_or(spec, "top", 0.0),
        width=number_or(spec, "width", 0.0),
        height=number_or(spec, "height", 0.0),
    )
