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
    """`order`: nchw or nhwc; a batch dimension is added in front."""

    kind: ClassVar[str] = "layout"
    order: str = "nchw"


Preprocess = Resize | Colour | Normalise | Layout
