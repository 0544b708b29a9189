import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from edgeform_runtime.errors import FrameError
from edgeform_runtime.pipeline.preprocess import Colour, Layout, Normalise, Resize
from edgeform_runtime.stages import preprocess


def a_frame(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(frame, form="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM"])
def test_lossless_files_decode_to_the_very_pixels(form):
    frame = a_frame()
    assert (preprocess.decode(encoded(frame, form)) == frame).all()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_files_decode_to_nearly_the_pixels(form):
    frame = np.full((32, 32, 3), 90, np.uint8)
    difference = preprocess.decode(encoded(frame, form)).astype(int) - frame
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_eight_bit_mode_becomes_rgb(mode):
    stream = io.BytesIO()
    Image.new(mode, (8, 6)).save(stream, "TIFF" if mode == "CMYK" else "PNG")
    if mode == "CMYK":
        stream = io.BytesIO()
        Image.new(mode, (8, 6)).save(stream, "JPEG")
    assert preprocess.decode(stream.getvalue()).shape == (6, 8, 3)


def test_sixteen_bit_pixels_are_refused_and_not_clipped():
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(stream, "PNG")
    with pytest.raises(FrameError, match="not 8 bit"):
        preprocess.decode(stream.getvalue())


@pytest.mark.parametrize("cut", [0, 1, 8, 20, 40, 200, -60])
def test_a_truncated_file_is_a_frame_error(cut):
    with pytest.raises(FrameError):
        preprocess.decode(encoded(a_frame())[:cut])


def test_any_damaged_byte_gives_a_picture_or_a_frame_error():
    whole = encoded(a_frame(12, 12))
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        try:
            assert preprocess.decode(bytes(damaged)).ndim == 3
        except FrameError:
            continue


def a_png_header(width, height):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8000, 8000), (20_000, 20_000), (65_000, 65_000), (2**31 - 1, 1)])
def test_a_decompression_bomb_is_refused_before_it_unpacks(size):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FrameError) as caught:
        preprocess.decode(a_png_header(*size))
    assert caught.value.reason in ("too_large", "corrupt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize(
    "content", [b"GIF89a" + bytes(40), b"%PDF-1.4", b"<svg/>", b"II*\0" + bytes(9)]
)
def test_other_formats_are_unsupported(content):
    with pytest.raises(FrameError) as caught:
        preprocess.decode(content)
    assert caught.value.reason == "unsupported"


def test_area_is_the_mean_of_what_is_covered():
    frame = a_frame(40, 60)
    expected = frame.reshape(10, 4, 20, 3, 3).mean((1, 3))
    got = preprocess.scale(frame, 20, 10, "area")
    assert np.abs(got - expected).max() <= 1


def test_nearest_takes_the_pixel_under_the_centre():
    frame = a_frame(9, 9)
    assert (preprocess.scale(frame, 3, 3, "nearest") == frame[1::3, 1::3]).all()
    assert (preprocess.scale(frame, 18, 18, "nearest") == frame.repeat(2, 0).repeat(2, 1)).all()


def bilinear_by_hand(frame, width, height):
    out = np.zeros((height, width, frame.shape[2]))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * frame.shape[0] / height - 0.5, 0), frame.shape[0] - 1)
            u = min(max((x + 0.5) * frame.shape[1] / width - 0.5, 0), frame.shape[1] - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, frame.shape[0] - 1), min(left + 1, frame.shape[1] - 1)
            a, b = u - left, v - top
            upper = frame[top, left] * (1 - a) + frame[top, right] * a
            out[y, x] = (
                upper * (1 - b) + (frame[bottom, left] * (1 - a) + frame[bottom, right] * a) * b
            )
    return out


@pytest.mark.parametrize("size", [(7, 5), (64, 48), (90, 71), (1, 1)])
def test_bilinear_is_its_definition(size):
    frame = a_frame(48, 64)
    got = preprocess.scale(frame, *size, "bilinear")
    assert got.dtype == np.uint8
    assert np.abs(got - bilinear_by_hand(frame, *size)).max() <= 0.51


def test_bilinear_aa_is_pillows_and_not_bilinear():
    frame = a_frame(48, 64)
    got = preprocess.scale(frame, 16, 12, "bilinear-aa")
    expected = np.asarray(Image.fromarray(frame).resize((16, 12), Image.Resampling.BILINEAR))
    assert (got == expected).all()
    assert np.abs(got.astype(int) - preprocess.scale(frame, 16, 12, "bilinear")).max() > 20


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bilinear-aa", "area"])
def test_every_filter_keeps_a_flat_picture_flat_and_grey_stays_one_channel(name):
    flat = np.full((33, 21, 1), 77, np.uint8)
    got = preprocess.scale(flat, 8, 50, name)
    assert got.shape == (50, 8, 1)
    assert (got == 77).all()


def test_letterbox_keeps_proportions_and_pads_grey():
    frame = np.full((48, 64, 3), 255, np.uint8)
    got = preprocess.resize(frame, Resize(width=32, height=32, filter="area", mode="letterbox"))
    assert got.shape == (32, 32, 3)
    assert (got[:4] == 114).all()
    assert (got[4:28] == 255).all()
    assert (got[28:] == 114).all()


def test_grey_is_the_luma_of_pillow_in_either_order():
    frame = a_frame()
    expected = np.asarray(Image.fromarray(frame).convert("L"))
    assert (preprocess.recolour(frame, "rgb", "grey")[:, :, 0] == expected).all()
    assert (preprocess.recolour(frame[:, :, ::-1], "bgr", "grey")[:, :, 0] == expected).all()


def test_normalise_per_channel_and_layout():
    frame = np.full((2, 3, 3), 51, np.uint8)
    steps = (
        Normalise(scale=1 / 255, mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.1)),
        Layout(order="nchw"),
    )
    got = preprocess.apply(frame, steps)
    assert got.shape == (1, 3, 2, 3)
    assert got.dtype == np.float32
    assert np.allclose(got[0, :, 0, 0], [0.1, 0.0, -1.0], atol=1e-6)
    assert preprocess.apply(frame, (Layout(order="nhwc"),)).shape == (1, 2, 3, 3)


def test_a_mean_of_two_channels_for_three_is_refused():
    with pytest.raises(FrameError, match=r"normalise.mean has 2 values for 3 channel"):
        preprocess.apply(a_frame(), (Normalise(scale=1.0, mean=(0.0, 0.0), std=(1.0,)),))


def test_bgr_turns_the_channels_round():
    frame = a_frame()
    assert (preprocess.apply(frame, (Colour(to="bgr"),)) == frame[:, :, ::-1]).all()
