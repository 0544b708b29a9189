"""Frames that are no frames: cut, lying about their size, not finite. Each is counted and costs nothing else."""

import contextlib
import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.runtime import SCENES, Prefix, a_pipeline_file, running

from edgeform_runtime.errors import FrameError
from edgeform_runtime.stages.content import (
    audio_of,
    npy_of,
    pixels_of_ppm,
    ppm_of,
    series_of,
    text_of,
    wav_of,
)

SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()


def a_png(width=8, height=8):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (9, 90, 200)).save(stream, "png")
    return stream.getvalue()


def an_npy(shape, descr="<f4", tail=b""):
    head = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + tail


WHOLE = {
    "ppm": (pixels_of_ppm, ppm_of(np.zeros((4, 5, 3), np.uint8))),
    "npy": (series_of, npy_of(np.zeros((4, 2), np.float32))),
    "wav": (audio_of, wav_of(np.zeros((40, 1), np.int16), 16000)),
    "text": (text_of, "Grüße".encode()),
}


@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_another_frame_or_a_frame_error(kind, data):
    read, whole = WHOLE[kind]
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        content = content or bytearray(b"\0")
    with contextlib.suppress(FrameError):  # nothing else may come out
        read(bytes(content))


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (series_of, an_npy((-4, 2), tail=bytes(32))),
        (series_of, an_npy((2**62, 4), tail=bytes(32))),
        (series_of, an_npy((2**31, 2**33))),
        (series_of, an_npy((4, 2), "|O", bytes(32))),
        (series_of, an_npy((True, 8), tail=bytes(32))),
        (series_of, npy_of(np.array([[1.0, np.nan]], np.float32))),
        (series_of, npy_of(np.array([[1.0, -np.inf]], np.float32))),
        (pixels_of_ppm, b"P6\n99999 99999\n255\n"),
        (pixels_of_ppm, b"P6\n0 0\n255\n"),
        (audio_of, b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff"),
        (audio_of, b"RIFF\0\0\0\0WAVE"),
        (text_of, b"\xff\xfe"),
        (text_of, b"x" * 2_000_000),
    ],
    ids=range(13),
)
def test_lies_about_sizes_are_refused_before_anything_is_made_of_them(read, content):
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_the_service_counts_what_it_cannot_use_and_goes_on(tmp_path):
    prefix = Prefix(tmp_path)
    prefix.put_model()
    bomb = a_png(20_000, 20_000)  # 1.2 GB of pixels in little more than a megabyte
    hostile = [b"", SCENE[:60], b"\x89PNG\r\n\x1a\n" + bytes(50), bomb, ppm_of(np.zeros((0, 4, 3)))]
    hostile += [b"P6\n99999 99999\n255\n", an_npy((2**40, 2)), b"\0" * 4096, SCENE[:-300]]
    with running(prefix, prefix.put_pipeline(a_pipeline_file())) as daemon:
        web = daemon.http()
        answers = [web.post("/v1/frames", content)[0] for content in hostile]
        assert set(answers) <= {202, 400, 413, 415, 422}, answers
        assert web.post("/v1/frames", SCENE)[0] == 202
        taken = answers.count(202)
        daemon.wait_for(lambda s: s["frames"]["inferred"] + s["frames"]["failed"] >= taken + 1)
        state = daemon.state()
        assert state["phase"] == "ready"
        assert state["frames"]["inferred"] >= 1
        assert state["frames"]["failed"] >= taken - 1, (
            "a film cut at its end may still be a picture"
        )
        assert daemon.stop() == 0
