"""Preprocess operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.preprocess import (
    AudioFrames,
    Colour,
    Crop,
    Layout,
    LogMel,
    Normalise,
    Preprocess,
    Resize,
    Tokenise,
    Window,
    ZScore,
)
from edgeform.spec.fields import (
    Mapping,
    boolean_or,
    integer,
    integer_or,
    number_or,
    numbers,
    text_or,
)


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


def _crop(spec: Mapping) -> Crop:
    return Crop(
        width=integer_or(spec, "width", 0),
        height=integer_or(spec, "height", 0),
        left=integer(spec, "left"),
        top=integer(spec, "top"),
    )


def _audio_frames(spec: Mapping) -> AudioFrames:
    return AudioFrames(
        length=integer_or(spec, "length", 0),
        hop=integer_or(spec, "hop", 0),
        window=text_or(spec, "window", "none"),
    )


def _log_mel(spec: Mapping) -> LogMel:
    return LogMel(
        rate_hz=integer_or(spec, "rate_hz", 16000),
        length=integer_or(spec, "length", 400),
        hop=integer_or(spec, "hop", 160),
        fft=integer_or(spec, "fft", 512),
        mels=integer_or(spec, "mels", 40),
        low_hz=number_or(spec, "low_hz", 20.0),
        high_hz=number_or(spec, "high_hz", 0.0),
        mel=text_or(spec, "mel", "htk"),
        log=text_or(spec, "log", "natural"),
        floor=number_or(spec, "floor", 1e-10),
    )


def _window(spec: Mapping) -> Window:
    return Window(
        length=integer_or(spec, "length", 0),
    )


def _z_score(spec: Mapping) -> ZScore:
    return ZScore(
        per=text_or(spec, "per", "window"),
        mean=numbers(spec, "mean", (0.0,)),
        std=numbers(spec, "std", (1.0,)),
    )


def _tokenise(spec: Mapping) -> Tokenise:
    return Tokenise(
        vocabulary=text_or(spec, "vocabulary", ""),
        length=integer_or(spec, "length", 0),
        unit=text_or(spec, "unit", "word"),
        lower=boolean_or(spec, "lower", default=False),
        unknown=text_or(spec, "unknown", "[UNK]"),
        padding=text_or(spec, "padding", "[PAD]"),
    )


OPERATORS: dict[str, Callable[[Mapping], Preprocess]] = {
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
