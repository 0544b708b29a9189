"""Every named algorithm of preprocessing as something to run: pictures of 640x480, a second of sound."""

import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from edgeform_runtime.pipeline.preprocess import LogMel, Normalise, Resize
from edgeform_runtime.stages import audio, preprocess
from edgeform_runtime.stages.content import ppm_of


def steps() -> Iterator[tuple[str, Callable[[], object]]]:
    """(name, what runs it once)."""
    chance = np.random.default_rng(6)
    rough = chance.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    image = Image.fromarray(rough).resize((640, 480), Image.Resampling.BICUBIC)
    frame = np.asarray(image)
    for form in ("JPEG", "PNG"):
        stream = io.BytesIO()
        image.save(stream, form)
        content = stream.getvalue()
        yield f"decode {form} 640x480", lambda content=content: preprocess.decode(content)
    raw = ppm_of(frame)
    yield "decode PPM 640x480", lambda: preprocess.decode(raw)
    for name in ("nearest", "bilinear", "bilinear-aa", "area"):
        step = Resize(width=224, height=224, filter=name, mode="stretch")
        yield f"resize {name} to 224x224", lambda step=step: preprocess.resize(frame, step)
    box = Resize(width=320, height=320, filter="bilinear-aa", mode="letterbox")
    yield "letterbox bilinear-aa to 320x320", lambda: preprocess.resize(frame, box)
    yield "colour to grey 640x480", lambda: preprocess.recolour(frame, "rgb", "grey")
    small = preprocess.resize(frame, Resize(width=224, height=224, filter="area", mode="stretch"))
    norm = Normalise(scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    yield "normalise 224x224x3", lambda: preprocess.normalise(small, norm)
    numbers = preprocess.normalise(small, norm)
    yield "layout nchw 224x224x3", lambda: np.ascontiguousarray(preprocess.arrange(numbers, "nchw"))
    sound = chance.normal(0, 0.1, 16000).astype(np.float32)
    mel = LogMel(
        rate_hz=16000,
        length=400,
        hop=160,
        fft=512,
        mels=40,
        low_hz=20.0,
        high_hz=7600.0,
        mel="htk",
        log="natural",
        floor=1e-6,
    )
    filters = audio.mel_filters(mel)
    yield "log-mel 1 s at 16 kHz, 40 bands", lambda: audio.log_mel(sound, 16000, mel, filters)
