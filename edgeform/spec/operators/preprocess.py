"""Preprocess operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.preprocess import Colour, Layout, Normalise, Preprocess, Resize
from edgeform.spec.fields import Mapping, integer_or, number_or, numbers, text_or


def _resize(spec: Mapping) -> Resize:
    return Resize(
        width=integer_or(spec, "width", 0),
        height=integer_or(spec, "height", 0),
        filter=text_or(spec, "filter", "bilinear"),
        mode=text_or(spec, "mode", "stretch"),
    )


def _colour(spec: Mapping) -> Colour:
    return Colour(to=text_or(spec, "to", ""))


def _normalise(spec: Mapping) -> Normalise:
    return Normalise(
        scale=number_or(spec, "scale", 1.0),
        mean=numbers(spec, "mean", (0.0,)),
        std=numbers(spec, "std", (1.0,)),
    )


def _layout(spec: Mapping) -> Layout:
    return Layout(order=text_or(spec, "order", "nchw"))


OPERATORS: dict[str, Callable[[Mapping], Preprocess]] = {
    "resize": _resize,
    "colour": _colour,
    "normalise": _normalise,
    "layout": _layout,
}
