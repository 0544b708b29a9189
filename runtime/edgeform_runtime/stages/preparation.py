"""From a frame's bytes to the model's tensor, whatever kind of input it is: what a slot keeps of preprocess.

Tables that do not change (filters, vocabulary) are made once, when the model is loaded.
"""

import os
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.pipeline import Stages
from edgeform_runtime.pipeline.capture import Audio, Capture, HttpPush, Mqtt, Serial, TextLines
from edgeform_runtime.pipeline.capture import Modbus as ModbusStage
from edgeform_runtime.pipeline.preprocess import (
    AudioFrames,
    Crop,
    Layout,
    LogMel,
    Preprocess,
    Resize,
    Tokenise,
    Window,
    ZScore,
)
from edgeform_runtime.stages import audio, preprocess, series
from edgeform_runtime.stages.content import (
    AUDIO,
    PICTURE,
    SERIES,
    TEXT,
    audio_of,
    series_of,
    text_of,
)
from edgeform_runtime.stages.tokens import Tokeniser


@dataclass(frozen=True)
class Prepared:
    """The tensor, and what leads an answer back to the frame: see `contract.Seen`."""

    tensor: Array
    frame_px: Optional[Tuple[int, int]] = None
    text: Optional[str] = None
    spans: Tuple[Tuple[int, int], ...] = ()


class Preparation:
    """The preprocess stage of one pipeline, ready to run.

    Args:
        media: what the capture gives. sample: an input of zeros, where its size is known.
    """

    def __init__(
        self,
        media: str,
        steps: Tuple[Preprocess, ...],
        sample: Optional[Array],
        tokeniser: Optional[Tokeniser],
    ) -> None:
        self._media, self._steps, self._sample = media, steps, sample
        self._tokeniser = tokeniser
        self._filters = {
            step: audio.mel_filters(step) for step in steps if isinstance(step, LogMel)
        }

    def prepare(self, content: bytes) -> Prepared:
        """What the model takes.

        Raises:
            FrameError: the bytes are not what the capture gives, or do not fit a step.
        """
        if self._media == PICTURE:
            frame = preprocess.decode(content)
            height, width = frame.shape[:2]
            return Prepared(preprocess.apply(frame, self._steps), frame_px=(width, height))
        if self._media == TEXT:
            return self._text(text_of(content))
        if self._media == AUDIO:
            return Prepared(self._rows(*audio_of(content)))
        return Prepared(self._rows(series_of(content), 0))

    def sample(self) -> Optional[Array]:
        """What comes out for an empty input, to compare with the model; None where its size is open."""
        if self._tokeniser is not None:
            return self._tokeniser.tokens("")[0]
        if self._sample is None:
            return None
        if self._media == PICTURE:
            return preprocess.apply(self._sample, self._steps)
        rate_hz = next((s.rate_hz for s in self._steps if isinstance(s, LogMel)), 0)
        return self._rows(self._sample, rate_hz)

    def _text(self, text: str) -> Prepared:
        if self._tokeniser is None:
            return Prepared(np.frombuffer(text.encode(), np.uint8)[None], text=text)
        tensor, spans = self._tokeniser.tokens(text)
        return Prepared(tensor, text=text, spans=spans)

    def _rows(self, rows: Array, rate_hz: int) -> Array:
        for step in self._steps:
            if isinstance(step, AudioFrames):
                rows = audio.audio_frames(rows, step)
            elif isinstance(step, LogMel):
                rows = audio.log_mel(rows, rate_hz, step, self._filters[step])
            elif isinstance(step, Window):
                rows = series.window(rows, step)
            elif isinstance(step, ZScore):
                rows = series.z_score(rows, step)
            elif isinstance(step, Layout):
                rows = series.arrange(rows, step.order)
            else:
                raise AssertionError(step)  # noqa: TRY004 - the edges were checked
        return np.ascontiguousarray(rows)


def preparation_of(stages: Stages, model_tree: str) -> Preparation:
    """The stage with its tables made.

    Raises:
        PipelineInvalid: a vocabulary that cannot be used.
    """
    media = _media_of(stages.capture)
    words = next((s for s in stages.preprocess if isinstance(s, Tokenise)), None)
    tokeniser = None if words is None else Tokeniser(words, os.path.abspath(model_tree))
    sample = _sample_of(stages.capture, media, stages.preprocess)
    return Preparation(media, stages.preprocess, sample, tokeniser)


def _media_of(capture: Capture) -> str:
    if isinstance(capture, (HttpPush, Mqtt, TextLines, Serial)):
        return capture.payload
    if isinstance(capture, ModbusStage):
        return SERIES
    return AUDIO if isinstance(capture, Audio) else PICTURE


def _sample_of(capture: Capture, media: str, steps: Tuple[Preprocess, ...]) -> Optional[Array]:
    """An input of zeros, where its size is known or does not matter."""
    if media == PICTURE:
        is_open = any(isinstance(s, Crop) for s in steps)
        is_sized = any(isinstance(s, Resize) for s in steps) and not is_open
        return np.zeros((48, 64, 3), np.uint8) if is_sized else None
    if isinstance(capture, Audio):
        return np.zeros(round(capture.length_s * capture.rate_hz), np.float32)
    if isinstance(capture, ModbusStage):
        return np.zeros((capture.window, capture.count), np.float32)
    if media == SERIES and isinstance(capture, (Mqtt, TextLines, Serial)) and capture.channels:
        return np.zeros((capture.window, capture.channels), np.float32)
    return None
