"""Stage extras: packages that a runtime closure holds only where a stage of the device asks for them."""

from collections.abc import Iterable

from edgeform.domain.pipeline import Pipeline
from edgeform.domain.stages.action import Gpio, OpcUaWrite
from edgeform.domain.stages.capture import V4l2, VideoFile, VideoStream

_EXTRAS: dict[type, str] = {
    VideoFile: "video",
    VideoStream: "video",
    V4l2: "video",
    Gpio: "gpio",
    OpcUaWrite: "opcua",
}
EXTRAS = tuple(sorted({*_EXTRAS.values()}))


def extras_of(pipelines: Iterable[Pipeline]) -> tuple[str, ...]:
    """What the closure of a device with these pipelines holds beside its engine, sorted."""
    stages = (stage for p in pipelines for stage in (p.capture, *p.actions))
    return tuple(sorted({_EXTRAS[type(s)] for s in stages if type(s) in _EXTRAS}))
