"""From a frame to the model's input: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """`filter` names the algorithm, because libraries disagree: nearest, bilinear, bilinear-aa, area."""

    kind: ClassVar[str] = "resize"
    width: int
    height: int
    filter: str = "bilinear"
    mode: str = "stretch"
    """stretch, or letterbox (padded grey 114)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """`to`: rgb, bgr or grey."""

    kind: ClassVar[str] = "colour"
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalise:
    """(x * scale - mean) / std, per channel or one value for all."""

    kind: ClassVar[str] = "normalise"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`order`: nchw, nhwc for pictures, ntc, nct, n1tc for rows; a batch dimension is added in front."""

    kind: ClassVar[str] = "layout"
    order: str = "nchw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Cut a rectangle out of the frame."""

    kind: ClassVar[str] = "crop"
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    left: int | None = None
    """First column; nothing: in the middle."""
    top: int | None = None
    """First row; nothing: in the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFrames:
    """Cut samples into frames: (frames, length)."""

    kind: ClassVar[str] = "audio_frames"
    length: int
    """Samples in a frame."""
    hop: int
    """Samples from one frame to the next."""
    window: str = "none"
    """Multiply each frame by a periodic Hann window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMel:
    """Logarithms of mel energies: (frames, mels)."""

    kind: ClassVar[str] = "log_mel"
    rate_hz: int = 16000
    """Samples a second that the model was trained with; others are refused."""
    length: int = 400
    """Samples in a frame."""
    hop: int = 160
    """Samples from one frame to the next."""
    fft: int = 512
    """Length of the transform, at least that of a frame."""
    mels: int = 40
    """How many energies."""
    low_hz: float = 20.0
    """Foot of the first filter."""
    high_hz: float = 0.0
    """Foot of the last filter; 0 is half the rate."""
    mel: str = "htk"
    """The formula of the mel scale, named because libraries disagree."""
    log: str = "natural"
    """Natural logarithm, or 10 log10."""
    floor: float = 1e-10
    """Smaller energies are taken as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Take the last rows of a series or of features."""

    kind: ClassVar[str] = "window"
    length: int
    """Rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZScore:
    """(x - mean) / std per column of a series or of features."""

    kind: ClassVar[str] = "z_score"
    per: str = "window"
    """Mean and deviation of this very window, or the given ones."""
    mean: tuple[float, ...] = (0.0,)
    """One value, or one a column."""
    std: tuple[float, ...] = (1.0,)
    """One value, or one a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenise:
    """Numbers of a text's words or characters."""

    kind: ClassVar[str] = "tokenise"
    vocabulary: str
    """Vocabulary in the model artifact, one token a line, numbered from 0."""
    length: int
    """Tokens that the model takes; longer texts are cut, shorter ones padded."""
    unit: str = "word"
    """Words and single signs, or every character."""
    lower: bool = False
    """Look tokens up in lower case."""
    unknown: str = "[UNK]"
    """The token for what the vocabulary lacks."""
    padding: str = "[PAD]"
    """The token that fills up."""


Preprocess = (
    Resize | Colour | Normalise | Layout | Crop | AudioFrames | LogMel | Window | ZScore | Tokenise
)
