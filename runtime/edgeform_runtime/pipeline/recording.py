"""What a pipeline keeps of its recent frames, as a value; nothing unless the spec says so."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from edgeform_runtime.pipeline.bounds import among, at_least, at_most, between
from edgeform_wire import edges
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MAX_FRAMES = 4096
MIN_BYTES = 64 * 1024
TEXT_MASKS = ("digits", "emails")


@dataclass(frozen=True)
class Region:
    """A rectangle in parts of the picture, so that another resolution uncovers nothing."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Mask:
    """What is blacked out before anything is kept."""

    regions: Tuple[Region, ...] = ()
    channels: Tuple[int, ...] = ()
    text: Tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.regions or self.channels or self.text)

    def to_json(self) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        if self.regions:
            found["regions"] = [dict(vars(region)) for region in self.regions]
        if self.channels:
            found["channels"] = list(self.channels)
        if self.text:
            found["text"] = list(self.text)
        return found


@dataclass(frozen=True)
class Recording:
    """The ring in memory, what makes a file of it, and how long files stay.

    Args:
        frames, ring_bytes: the ring's bounds; the oldest frames go first.
        when: a rule on the result, such as `score < 0.5`. drift_above: a stability index of the inputs.
        on_failure: when checks fail or the generation is rolled back.
        cooldown_s: between two files that the pipeline makes by itself.
        max_bytes, max_age_s: of the files on the device.
    """

    frames: int
    ring_bytes: int
    when: Optional[str]
    drift_above: Optional[float]
    on_failure: bool
    cooldown_s: float
    mask: Mask
    max_bytes: int
    max_age_s: float


def recording(value: Optional[Dict[str, Any]], media: str) -> Optional[Recording]:
    """The recording of `stages.recording`; None where there is none.

    Raises:
        WireError: a field this runtime does not have, or a mask that does not fit the input.
    """
    if value is None:
        return None
    fields = Fields(value, "stages.recording")
    found = Recording(
        frames=at_most(fields.integer("frames", 1, 32), MAX_FRAMES, "recording.frames"),
        ring_bytes=fields.integer("ring_bytes", MIN_BYTES, 16 * 1024 * 1024),
        when=fields.optional_text("when"),
        drift_above=fields.optional_number("drift_above"),
        on_failure=fields.boolean("on_failure", default=True),
        cooldown_s=at_least(fields.number("cooldown_s", 300.0), 0.0, "recording.cooldown_s"),
        mask=_mask(fields.object("mask", default={})),
        max_bytes=fields.integer("max_bytes", MIN_BYTES, 64 * 1024 * 1024),
        max_age_s=at_least(fields.number("max_age_s", 7 * 86400.0), 60.0, "recording.max_age_s"),
    )
    fields.done()
    if found.drift_above is not None:
        between(found.drift_above, 0.01, 100.0, "recording.drift_above")
    sentence = edges.mask_problem(media, tuple(found.mask.to_json()))
    if sentence:
        raise WireError(f"recording.{sentence}")
    return found


def _mask(value: Dict[str, Any]) -> Mask:
    fields = Fields(value, "stages.recording.mask")
    found = Mask(
        regions=fields.each("regions", _region, default=True),
        channels=fields.each("channels", _channel, default=True),
        text=fields.each("text", _text, default=True),
    )
    fields.done()
    return found


def _region(value: Any, what: str) -> Region:
    fields = Fields(value, what)
    found = Region(*(fields.number(name) for name in ("left", "top", "width", "height")))
    fields.done()
    for name, number in vars(found).items():
        between(number, 0.0, 1.0, f"{what}.{name}")
    return found


def _channel(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < 1024:
        raise WireError(f"{what}: {value!r:.40} is no channel")
    return value


def _text(value: Any, what: str) -> str:
    return among(str(value), TEXT_MASKS, what)
