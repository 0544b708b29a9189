"""What a frame's bytes are: a picture file, a WAV file, an NPY array or UTF-8 text, never something of ours.

Sources that have no file (a camera, a register) make one in the cheapest such format, so that storing,
goldens, capture files and replay need to know nothing about sources.
"""

import ast
import re
import struct
from typing import Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import FrameError

PICTURE, AUDIO, SERIES, TEXT = "picture", "audio", "series", "text"
MEDIA = (PICTURE, AUDIO, SERIES, TEXT)
MAX_TEXT_BYTES = 1024 * 1024
MAX_VALUES = 16_000_000
_PPM = re.compile(rb"P6\n(\d{1,5}) (\d{1,5})\n255\n")
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_TYPES = ("<f4", "<f8", "<i2", "<i4", "<i8", "|u1", "|i1", "<u2")
_PCM, _EXTENSIBLE = 1, 0xFFFE


def ppm_of(pixels: Array) -> bytes:
    """A PPM file of (height, width, 3) uint8 RGB."""
    height, width = pixels.shape[:2]
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


def pixels_of_ppm(content: bytes) -> Array:
    """The pixels of a PPM file as `ppm_of` writes it, without a copy; an empty array for other files.

    Raises:
        FrameError: it is shorter or longer than its size says.
    """
    found = _PPM.match(content)
    if found is None:
        return np.empty((0, 0, 3), np.uint8)
    width, height = int(found[1]), int(found[2])
    if width * height * 3 != len(content) - found.end() or not width * height:
        raise FrameError(f"a PPM file of {width}x{height} with {len(content)} bytes")
    return np.frombuffer(content, np.uint8, offset=found.end()).reshape(height, width, 3)


def npy_of(rows: Array) -> bytes:
    """An NPY file (format 1.0) of float32 rows. Source: numpy.lib.format."""
    array = np.ascontiguousarray(rows, "<f4")
    head = repr({"descr": "<f4", "fortran_order": False, "shape": array.shape})
    padding = -(len(_NPY_MAGIC) + 2 + len(head) + 1) % 64
    text = head.encode() + b" " * padding + b"\n"
    return _NPY_MAGIC + struct.pack("<H", len(text)) + text + array.tobytes()


def series_of(content: bytes) -> Array:
    """(samples, channels) float32 of an NPY file.

    Raises:
        FrameError: not NPY 1.0, objects, big-endian, more than two dimensions, or values not finite.
    """
    if not content.startswith(_NPY_MAGIC) or len(content) < 10:
        raise FrameError("frame is no NPY file of format 1.0", "unsupported")
    (length,) = struct.unpack_from("<H", content, 8)
    descr, is_fortran, shape = _npy_head(content[10 : 10 + length])
    count = int(np.prod(shape, dtype=np.int64))
    item = np.dtype(descr).itemsize
    if not 0 < count <= MAX_VALUES or count * item != len(content) - 10 - length:
        raise FrameError(f"an NPY file of shape {list(shape)} with {len(content)} bytes")
    array = np.frombuffer(content, descr, offset=10 + length)
    array = array.reshape(shape, order="F" if is_fortran else "C").astype(np.float32)
    if not np.isfinite(array).all():
        raise FrameError("the series has values that are not finite", "not_finite")
    return array[:, None] if array.ndim == 1 else array


def _npy_head(text: bytes) -> Tuple[str, bool, Tuple[int, ...]]:
    try:
        head = ast.literal_eval(text.decode("latin-1").strip())
        descr, order, shape = head["descr"], head["fortran_order"], head["shape"]
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError) as exc:
        raise FrameError(f"the head of the NPY file cannot be read: {type(exc).__name__}") from exc
    if descr not in _NPY_TYPES or not isinstance(order, bool):
        raise FrameError(f"an NPY file of {descr!r:.40} is not numbers we take", "unsupported")
    if not isinstance(shape, tuple) or not 1 <= len(shape) <= 2:
        raise FrameError(
            f"an NPY file of shape {shape!r:.40}, not samples x channels", "unsupported"
        )
    if not all(type(extent) is int and 0 < extent <= MAX_VALUES for extent in shape):
        raise FrameError(f"an NPY file of shape {shape!r:.40}")
    return descr, order, shape


def wav_of(samples: Array, rate_hz: int) -> bytes:
    """A WAV file of (samples, channels) int16. Source: Multimedia Programming Interface 1.0, 1991."""
    channels = samples.shape[1]
    body = np.ascontiguousarray(samples, "<i2").tobytes()
    form = struct.pack("<HHIIHH", _PCM, channels, rate_hz, rate_hz * channels * 2, channels * 2, 16)
    head = (
        b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body))
    )
    return b"RIFF" + struct.pack("<I", len(head) + len(body)) + head + body


def audio_of(content: bytes) -> Tuple[Array, int]:
    """(samples,) float32 from -1 to 1, the mean of its channels, and the rate in Hz, of a 16-bit WAV file.

    Raises:
        FrameError: no WAV file, not 16-bit PCM, or its parts do not fit.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise FrameError("frame is no WAV file", "unsupported")
    at, channels, rate_hz = 12, 0, 0
    while at + 8 <= len(content):
        name, (size,) = content[at : at + 4], struct.unpack_from("<I", content, at + 4)
        at += 8
        if name == b"fmt " and size >= 16 and at + 16 <= len(content):
            kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", content, at)
            if kind not in (_PCM, _EXTENSIBLE) or bits != 16 or not 0 < channels <= 64:
                raise FrameError(
                    f"a WAV file of {channels} channels with {bits} bits, format {kind}: not 16-bit PCM",
                    "unsupported",
                )
        elif name == b"data":
            if not channels or not rate_hz or at + size > len(content) or not size:
                raise FrameError("the WAV file is cut short or has no format")
            whole = size - size % (2 * channels)
            samples = np.frombuffer(content, "<i2", whole // 2, at).reshape(-1, channels)
            return samples.astype(np.float32).mean(axis=1) / np.float32(32768.0), rate_hz
        at += size + size % 2
    raise FrameError("the WAV file has no samples")


def text_of(content: bytes) -> str:
    """The text.

    Raises:
        FrameError: too long, or not UTF-8.
    """
    if len(content) > MAX_TEXT_BYTES:
        raise FrameError(f"text of {len(content)} bytes, more than {MAX_TEXT_BYTES}", "too_large")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FrameError(f"text is not UTF-8: byte {exc.start}") from exc
