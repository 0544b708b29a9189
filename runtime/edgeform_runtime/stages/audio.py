"""From samples to what audio models take: frames of samples, and log-mel features, in numpy.

Every choice that libraries make differently is a field of the stage: mel scale, logarithm, floor. The rest
is fixed: periodic Hann window, power spectrum, triangles of height 1, no pre-emphasis, no padding.
"""

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import FrameError
from edgeform_runtime.pipeline.preprocess import AudioFrames, LogMel

_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_BREAK_HZ, _SLANEY_BREAK_MEL = 1000.0, 15.0
_SLANEY_STEP = np.log(6.4) / 27.0


def frames_of(samples: Array, length: int, hop: int) -> Array:
    """(frames, length): one frame every `hop` samples, as many as are whole.

    Raises:
        FrameError: fewer samples than one frame has.
    """
    count = 1 + (len(samples) - length) // hop
    if len(samples) < length:
        raise FrameError(f"{len(samples)} samples, and a frame has {length}", "too_short")
    starts = np.arange(count)[:, None] * hop
    framed: Array = samples[starts + np.arange(length)[None, :]]
    return framed


def audio_frames(samples: Array, step: AudioFrames) -> Array:
    """(frames, length) float32."""
    framed = frames_of(samples, step.length, step.hop)
    if step.window == "hann":
        framed = framed * hann(step.length)
    windowed: Array = framed.astype(np.float32)
    return windowed


def hann(length: int) -> Array:
    """The periodic Hann window: 0.5 - 0.5 cos(2 pi n / length)."""
    turns = np.arange(length, dtype=np.float64) / length
    window: Array = 0.5 - 0.5 * np.cos(2.0 * np.pi * turns)
    return window


def hz_to_mel(hz: Array, scale: str) -> Array:
    """Mel of frequencies. htk: 2595 log10(1 + f / 700), the HTK book's. slaney: linear below 1 kHz,
    logarithmic above, as in the Auditory Toolbox (Slaney, 1998).
    """
    hz = np.asarray(hz, np.float64)
    if scale == "htk":
        mel: Array = 2595.0 * np.log10(1.0 + hz / 700.0)
        return mel
    above = np.maximum(hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ
    slaney: Array = np.where(
        hz < _SLANEY_BREAK_HZ,
        hz / _SLANEY_HZ_PER_MEL,
        _SLANEY_BREAK_MEL + np.log(above) / _SLANEY_STEP,
    )
    return slaney


def mel_to_hz(mel: Array, scale: str) -> Array:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        hz: Array = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
        return hz
    above = np.maximum(mel - _SLANEY_BREAK_MEL, 0.0)
    slaney: Array = np.where(
        mel < _SLANEY_BREAK_MEL,
        mel * _SLANEY_HZ_PER_MEL,
        _SLANEY_BREAK_HZ * np.exp(_SLANEY_STEP * above),
    )
    return slaney


def mel_filters(step: LogMel) -> Array:
    """(fft // 2 + 1, mels): triangles of height 1 whose feet are the neighbours' tops, even in mel."""
    low, high = hz_to_mel(np.array([step.low_hz, step.high_hz or step.rate_hz / 2]), step.mel)
    edges = mel_to_hz(np.linspace(low, high, step.mels + 2), step.mel)
    bins = np.arange(step.fft // 2 + 1) * (step.rate_hz / step.fft)
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters: Array = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def log_mel(samples: Array, rate_hz: int, step: LogMel, filters: Array) -> Array:
    """(frames, mels) float32.

    Raises:
        FrameError: another rate than the stage's, or too few samples.
    """
    if rate_hz != step.rate_hz:
        raise FrameError(f"audio of {rate_hz} Hz, and log_mel is for {step.rate_hz} Hz", "rate")
    framed = frames_of(samples.astype(np.float64), step.length, step.hop) * hann(step.length)
    spectrum = np.fft.rfft(framed, step.fft, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    energies = np.maximum(power @ filters, step.floor)
    logs = 10.0 * np.log10(energies) if step.log == "db" else np.log(energies)
    features: Array = logs.astype(np.float32)
    return features
