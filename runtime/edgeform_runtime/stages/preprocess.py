"""From a file as it comes from the camera to the tensor a model takes.

The resize algorithm is named in the pipeline because libraries disagree by up to 44 of 255 levels
for what they all call bilinear; each name below is one definition, whatever library does the work.
"""

import io
import warnings
from typing import Any, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import FrameError
from edgeform_runtime.pipeline.preprocess import (
    Colour,
    Crop,
    Layout,
    Normalise,
    Preprocess,
    Resize,
)
from edgeform_runtime.stages.content import pixels_of_ppm

MAX_ENCODED_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 32_000_000  # 96 MB as RGB; the largest common sensor that is not stitched has 20 MP
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP")
PAD_GREY = 114
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def decode(content: bytes) -> Array:
    """The picture as (height, width, 3) uint8 RGB; orientation tags are not applied.

    Raises:
        FrameError: not a picture, damaged, truncated, or larger than the limits (before its pixels
            are unpacked, so that a bomb costs nothing).
    """
    if len(content) > MAX_ENCODED_BYTES:
        raise FrameError(
            f"frame of {len(content)} bytes, more than {MAX_ENCODED_BYTES}", "too_large"
        )
    pixels = pixels_of_ppm(content)
    if pixels.size:
        if pixels.size // 3 > MAX_PIXELS:
            raise FrameError(f"frame of more than {MAX_PIXELS} pixels", "too_large")
        return pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_size(image)
                if image.mode not in _MODES:
                    raise FrameError(f"pixels of mode {image.mode} are not 8 bit", "unsupported")
                return np.asarray(image.convert("RGB"))
    except FrameError:
        raise
    except Image.DecompressionBombError as exc:
        raise FrameError(f"frame unpacks to more than {MAX_PIXELS} pixels", "too_large") from exc
    except UnidentifiedImageError as exc:
        raise FrameError("frame is none of " + ", ".join(FORMATS), "unsupported") from exc
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as exc:
        # Pillow's decoders raise all of these for damaged files.
        raise FrameError(f"frame cannot be decoded: {exc}") from exc


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise FrameError(
            f"frame of {width}x{height} pixels, more than {MAX_PIXELS} in all", "too_large"
        )


def apply(frame: Array, steps: Tuple[Preprocess, ...]) -> Array:
    """The tensor for the model, from (height, width, 3) uint8 RGB.

    Raises:
        FrameError: normalise has another number of channels than the frame.
    """
    colour = "rgb"
    for step in steps:
        if isinstance(step, Resize):
            frame = resize(frame, step)
        elif isinstance(step, Crop):
            frame = crop(frame, step)
        elif isinstance(step, Colour):
            frame = recolour(frame, colour, step.to)
            colour = step.to
        elif isinstance(step, Normalise):
            frame = normalise(frame, step)
        elif isinstance(step, Layout):
            frame = arrange(frame, step.order)
        else:
            raise AssertionError(step)  # noqa: TRY004 - the edges were checked: nothing else gets here
    return np.ascontiguousarray(frame)


def crop(frame: Array, step: Crop) -> Array:
    """The rectangle of the frame; in the middle (rounded to the upper left) where no corner is given.

    Raises:
        FrameError: it does not lie in the frame.
    """
    height, width = frame.shape[:2]
    left = (width - step.width) // 2 if step.left is None else step.left
    top = (height - step.height) // 2 if step.top is None else step.top
    if min(left, top) < 0 or left + step.width > width or top + step.height > height:
        raise FrameError(
            f"crop of {step.width}x{step.height} at {left},{top} is not in a frame of {width}x{height}",
            "too_small",
        )
    return frame[top : top + step.height, left : left + step.width]


def resize(frame: Array, step: Resize) -> Array:
    """The frame at the wanted size; letterbox keeps proportions and pads grey (114), centred."""
    height, width = frame.shape[:2]
    if step.mode == "stretch":
        return scale(frame, step.width, step.height, step.filter)
    ratio = min(step.width / width, step.height / height)
    inner_width = min(step.width, max(1, round(width * ratio)))
    inner_height = min(step.height, max(1, round(height * ratio)))
    inner = scale(frame, inner_width, inner_height, step.filter)
    padded = np.full((step.height, step.width, frame.shape[2]), PAD_GREY, np.uint8)
    top, left = (step.height - inner_height) // 2, (step.width - inner_width) // 2
    padded[top : top + inner_height, left : left + inner_width] = inner
    return padded


def scale(frame: Array, width: int, height: int, name: str) -> Array:
    """The frame scaled by the named algorithm; pixel centres at half integers in all of them.

    nearest: the pixel under the centre. bilinear: four neighbours, no anti-aliasing, computed in
    float32 and rounded half to even. bilinear-aa: triangle filter as wide as the reduction.
    area: mean of the covered area (box filter).
    """
    if frame.shape[:2] == (height, width):
        return frame
    if name == "nearest":
        rows = _nearest(frame.shape[0], height)
        columns = _nearest(frame.shape[1], width)
        picked: Array = frame[rows[:, None], columns[None, :]]
        return picked
    if name == "bilinear":
        return _bilinear(frame, width, height)
    method = Image.Resampling.BOX if name == "area" else Image.Resampling.BILINEAR
    single = frame.shape[2] == 1
    image = Image.fromarray(frame[:, :, 0] if single else np.ascontiguousarray(frame))
    scaled: Array = np.asarray(image.resize((width, height), method))
    return scaled[:, :, None] if single else scaled


def _nearest(before: int, after: int) -> Array:
    centres = (np.arange(after) * 2 + 1) * before // (2 * after)
    inside: Array = np.minimum(centres, before - 1)
    return inside


def _bilinear(frame: Array, width: int, height: int) -> Array:
    top, bottom, down = _neighbours(frame.shape[0], height)
    left, right, across = _neighbours(frame.shape[1], width)
    weight_x = across[None, :, None]
    weight_y = down[:, None, None]
    upper = frame[top[:, None], left] * (1 - weight_x) + frame[top[:, None], right] * weight_x
    lower = frame[bottom[:, None], left] * (1 - weight_x) + frame[bottom[:, None], right] * weight_x
    rounded: Array = np.rint(upper * (1 - weight_y) + lower * weight_y).astype(np.uint8)
    return rounded


def _neighbours(before: int, after: int) -> Tuple[Any, Any, Any]:
    centres = (np.arange(after, dtype=np.float64) + 0.5) * before / after - 0.5
    centres = np.clip(centres, 0.0, before - 1.0)
    first = np.floor(centres).astype(np.intp)
    second = np.minimum(first + 1, before - 1)
    return first, second, (centres - first).astype(np.float32)


def recolour(frame: Array, now: str, to: str) -> Array:
    """The frame in another colour order; grey is ITU-R 601 luma in 16-bit fixed point."""
    if now == to:
        return frame
    if now == "grey":
        return np.repeat(frame, 3, axis=2)
    if to != "grey":
        return frame[:, :, ::-1]
    red, blue = (0, 2) if now == "rgb" else (2, 0)
    wide = frame.astype(np.uint32)
    luma = wide[:, :, red] * 19595 + wide[:, :, 1] * 38470 + wide[:, :, blue] * 7471 + 0x8000
    return (luma >> 16).astype(np.uint8)[:, :, None]


def normalise(frame: Array, step: Normalise) -> Array:
    """(x * scale - mean) / std in float32, per channel or one value for all."""
    channels = frame.shape[2]
    for name, values in (("mean", step.mean), ("std", step.std)):
        if len(values) not in (1, channels):
            raise FrameError(
                f"normalise.{name} has {len(values)} values for {channels} channel(s)",
                "unsupported",
            )
    out = frame.astype(np.float32)
    out *= np.float32(step.scale)
    out -= np.asarray(step.mean, np.float32)
    out /= np.asarray(step.std, np.float32)
    return out


def arrange(frame: Array, order: str) -> Array:
    return frame.transpose(2, 0, 1)[None] if order == "nchw" else frame[None]
