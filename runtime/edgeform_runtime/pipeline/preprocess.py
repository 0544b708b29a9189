"""From a frame to the model's input, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple, Union

from edgeform_runtime.pipeline.bounds import above, among, at_most, between, number
from edgeform_wire import artifact
from edgeform_wire.edges import PICTURE_ORDERS, SERIES_ORDERS
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

FILTERS = ("nearest", "bilinear", "bilinear-aa", "area")
MODES = ("stretch", "letterbox")
MAX_SIDE_PX = 8192


@dataclass(frozen=True)
class Resize:
    width: int
    height: int
    filter: str
    mode: str


@dataclass(frozen=True)
class Colour:
    to: str


@dataclass(frozen=True)
class Normalise:
    scale: float
    mean: Tuple[float, ...]
    std: Tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    order: str


@dataclass(frozen=True)
class Crop:
    width: int
    height: int
    left: Optional[int]
    top: Optional[int]


@dataclass(frozen=True)
class AudioFrames:
    length: int
    hop: int
    window: str


@dataclass(frozen=True)
class LogMel:
    rate_hz: int
    length: int
    hop: int
    fft: int
    mels: int
    low_hz: float
    high_hz: float
    mel: str
    log: str
    floor: float


@dataclass(frozen=True)
class Window:
    length: int


@dataclass(frozen=True)
class ZScore:
    per: str
    mean: Tuple[float, ...]
    std: Tuple[float, ...]


@dataclass(frozen=True)
class Tokenise:
    vocabulary: str
    length: int
    unit: str
    lower: bool
    unknown: str
    padding: str


Preprocess = Union[
    Resize,
    Colour,
    Normalise,
    Layout,
    Crop,
    AudioFrames,
    LogMel,
    Window,
    ZScore,
    Tokenise,
]


def _resize(fields: Fields) -> Resize:
    width, height = fields.integer("width", 1), fields.integer("height", 1)
    if max(width, height) > MAX_SIDE_PX:
        raise WireError(f"resize to {width}x{height}: more than {MAX_SIDE_PX} px a side")
    return Resize(
        width=width,
        height=height,
        filter=among(fields.text("filter", "bilinear"), FILTERS, "resize.filter"),
        mode=among(fields.text("mode", "stretch"), MODES, "resize.mode"),
    )


def _colour(fields: Fields) -> Colour:
    return Colour(to=fields.choice("to", ("rgb", "bgr", "grey")))


def _normalise(fields: Fields) -> Normalise:
    scale = fields.number("scale", 1.0)
    mean = fields.each("mean", number, default=True) or (0.0,)
    std = fields.each("std", number, default=True) or (1.0,)
    if any(s == 0.0 for s in std):
        raise WireError("normalise.std: a zero would divide by nothing")
    return Normalise(scale=scale, mean=mean, std=std)


def _layout(fields: Fields) -> Layout:
    orders = PICTURE_ORDERS + SERIES_ORDERS
    return Layout(order=among(fields.text("order", "nchw"), orders, "layout.order"))


def _crop(fields: Fields) -> Crop:
    return Crop(
        width=at_most(fields.integer("width", 1), 8192, "crop.width"),
        height=at_most(fields.integer("height", 1), 8192, "crop.height"),
        left=fields.optional_integer("left"),
        top=fields.optional_integer("top"),
    )


def _audio_frames(fields: Fields) -> AudioFrames:
    return AudioFrames(
        length=at_most(fields.integer("length", 1), 1000000, "audio_frames.length"),
        hop=at_most(fields.integer("hop", 1), 1000000, "audio_frames.hop"),
        window=among(fields.text("window", "none"), ("none", "hann"), "audio_frames.window"),
    )


def _log_mel(fields: Fields) -> LogMel:
    return LogMel(
        rate_hz=at_most(fields.integer("rate_hz", 4000, 16000), 192000, "log_mel.rate_hz"),
        length=at_most(fields.integer("length", 1, 400), 65536, "log_mel.length"),
        hop=at_most(fields.integer("hop", 1, 160), 65536, "log_mel.hop"),
        fft=at_most(fields.integer("fft", 2, 512), 65536, "log_mel.fft"),
        mels=at_most(fields.integer("mels", 1, 40), 512, "log_mel.mels"),
        low_hz=between(fields.number("low_hz", 20.0), 0.0, 96000.0, "log_mel.low_hz"),
        high_hz=between(fields.number("high_hz", 0.0), 0.0, 96000.0, "log_mel.high_hz"),
        mel=among(fields.text("mel", "htk"), ("htk", "slaney"), "log_mel.mel"),
        log=among(fields.text("log", "natural"), ("natural", "db"), "log_mel.log"),
        floor=above(fields.number("floor", 1e-10), 0.0, "log_mel.floor"),
    )


def _window(fields: Fields) -> Window:
    return Window(
        length=at_most(fields.integer("length", 1), 1000000, "window.length"),
    )


def _z_score(fields: Fields) -> ZScore:
    return ZScore(
        per=among(fields.text("per", "window"), ("window", "given"), "z_score.per"),
        mean=fields.each("mean", number, default=True) or (0.0,),
        std=fields.each("std", number, default=True) or (1.0,),
    )


def _tokenise(fields: Fields) -> Tokenise:
    vocabulary = fields.text("vocabulary")
    artifact.check_paths((vocabulary,))
    return Tokenise(
        vocabulary=vocabulary,
        length=at_most(fields.integer("length", 1), 65536, "tokenise.length"),
        unit=among(fields.text("unit", "word"), ("word", "character"), "tokenise.unit"),
        lower=fields.boolean("lower", default=False),
        unknown=fields.text("unknown", "[UNK]"),
        padding=fields.text("padding", "[PAD]"),
    )


OPERATORS: Dict[str, Callable[[Fields], Preprocess]] = {
    "resize": _resize,
    "colour": _colour,
    "normalise": _normalise,
    "layout": _layout,
    "crop": _crop,
    "audio_frames": _audio_frames,
    "log_mel": _log_mel,
    "window": _window,
    "z_score": _z_score,
    "tokenise": _tokenise,
}
