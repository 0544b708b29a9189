"""From a frame to the model's input, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple, Union

from edgeform_runtime.pipeline.bounds import among, number
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


Preprocess = Union[Resize, Colour, Normalise, Layout]


def check_order(steps: Tuple[Preprocess, ...]) -> None:
    """Pixels first (resize, colour), then numbers (normalise), then layout: each edge has one type."""
    ranks: List[int] = []
    for step in steps:
        if isinstance(step, (Resize, Colour)):
            ranks.append(0)
        elif isinstance(step, Normalise):
            ranks.append(1)
        else:
            ranks.append(2)
    if ranks != sorted(ranks):
        raise WireError(
            "stages.preprocess: resize and colour work on pixels and come first,"
            " then normalise, then layout"
        )
    if ranks.count(2) > 1:
        raise WireError("stages.preprocess: layout stands there twice")


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
    return Layout(order=among(fields.text("order", "nchw"), ("nchw", "nhwc"), "layout.order"))


OPERATORS: Dict[str, Callable[[Fields], Preprocess]] = {
    "resize": _resize,
    "colour": _colour,
    "normalise": _normalise,
    "layout": _layout,
}
