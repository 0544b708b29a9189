"""Blacking out what must not be kept, before it is kept: regions of a picture, channels, digits in a text."""

import math
import re
from typing import Match

from edgeform_runtime.arrays import Array
from edgeform_runtime.pipeline.recording import Mask
from edgeform_runtime.stages import preprocess
from edgeform_runtime.stages.content import npy_of, ppm_of, series_of, text_of

# Whole words, and then a look into each: a pattern with `@` in its middle takes quadratic time on long words.
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\s<>(),;:\"]+")
BLACK = "\N{FULL BLOCK}"


def masked(content: bytes, mask: Mask) -> bytes:
    """The frame as it may be kept; the same bytes where nothing is masked.

    A picture comes back as PPM, because nothing is lost in it.

    Raises:
        FrameError: the frame cannot be read, so what is in it cannot be masked.
    """
    if mask.regions:
        return ppm_of(_without_regions(preprocess.decode(content), mask))
    if mask.channels:
        rows = series_of(content).copy()
        rows[:, [c for c in mask.channels if c < rows.shape[1]]] = 0.0
        return npy_of(rows)
    if mask.text:
        text = text_of(content)
        if "emails" in mask.text:
            text = _WORD.sub(_without_address, text)
        if "digits" in mask.text:
            text = _DIGIT.sub(BLACK, text)
        return text.encode()
    return content


def _without_address(word: Match[str]) -> str:
    return BLACK * len(word[0]) if "@" in word[0] else word[0]


def _without_regions(pixels: Array, mask: Mask) -> Array:
    black: Array = pixels.copy()
    height, width = black.shape[:2]
    for region in mask.regions:
        left, top = math.floor(region.left * width), math.floor(region.top * height)
        right = math.ceil((region.left + region.width) * width)
        bottom = math.ceil((region.top + region.height) * height)
        black[top:bottom, left:right] = 0
    return black
