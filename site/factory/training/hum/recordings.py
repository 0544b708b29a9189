"""What a microphone at a gearbox hears: one second of 16 kHz, sound or with one of four faults, as WAV files.

A machine in order hums: harmonics of its shaft and of its gear mesh, at a speed, load and room of the day,
under the noise of a hall. The faults are those of textbooks on machine diagnostics: a bearing whose race is
cracked (a short ring at each passing of a ball), a tooth that is broken (one knock a turn), a loose foot
(two dull blows a turn), and rubbing (hiss that comes and goes with the shaft). They are hardly to clearly
audible.
"""

import struct
from dataclasses import dataclass

import numpy as np

RATE_HZ = 16_000
SECONDS = 1.0
SAMPLES = int(RATE_HZ * SECONDS)
FAULTS = ("bearing", "tooth", "loose", "rub")
SPLITS = {"train": 1, "tune": 2, "held-out": 3, "golden": 4}
TEETH = 23
BALLS_PASS = 3.57
"""Balls that pass a place of the outer race in one turn of the shaft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    samples: np.ndarray
    """(16000,) int16."""
    fault: str | None


def recording(split: str, number: int, fault: str | None = None) -> Recording:
    """The recording of that number; always the same one."""
    place = 0 if fault is None else 1 + FAULTS.index(fault)
    rng = np.random.default_rng([SPLITS[split], place, number])
    time_s = np.arange(SAMPLES) / RATE_HZ
    shaft_hz = float(rng.uniform(22.0, 28.0))
    angle = 2 * np.pi * shaft_hz * time_s + 0.02 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time_s)
    sound = _machine(angle, rng)
    if fault is not None:
        strength = float(rng.uniform(0.35, 1.2))
        sound = sound + strength * _FAULTS[fault](angle, rng)
    sound += _hall(rng)
    loudness = float(rng.uniform(0.8, 1.25)) * 0.12
    scaled = np.clip(sound * loudness, -1.0, 1.0) * 32767
    return Recording(samples=np.rint(scaled).astype(np.int16), fault=fault)


def wav(samples: np.ndarray) -> bytes:
    """A WAV file of one channel."""
    body = samples.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    whole = head + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def _machine(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    load = float(rng.uniform(0.7, 1.3))
    sound = np.zeros(SAMPLES)
    for order in range(1, 6):
        phase = float(rng.uniform(0, 6.28))
        sound += float(rng.uniform(0.8, 1.2)) * 0.8 / order * np.sin(order * angle + phase)
    for order in range(1, 5):
        phase, side = float(rng.uniform(0, 6.28)), float(rng.uniform(0.1, 0.25))
        mesh = np.sin(order * TEETH * angle + phase) * (1 + side * np.sin(angle))
        sound += load * float(rng.uniform(0.8, 1.2)) * 0.9 / order * mesh
    return sound


def _hall(rng: np.random.Generator) -> np.ndarray:
    """Noise that falls with frequency, and a little that does not."""
    spectrum = rng.normal(size=SAMPLES // 2 + 1) + 1j * rng.normal(size=SAMPLES // 2 + 1)
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    low = np.fft.irfft(spectrum / np.sqrt(1 + (hz / 200.0) ** 2), SAMPLES)
    level = float(rng.uniform(0.8, 1.25))
    return level * (0.5 * low / low.std() + 0.08 * rng.normal(size=SAMPLES))


def _knocks(angle: np.ndarray, turns: float, ring_hz: float, fades_s: float) -> np.ndarray:
    """A ring at every `turns` of the shaft."""
    passed = np.floor(angle / (2 * np.pi * turns))
    starts = np.flatnonzero(np.diff(passed, prepend=passed[0] - 1) > 0)
    length = int(6 * fades_s * RATE_HZ)
    time_s = np.arange(length) / RATE_HZ
    ring = np.sin(2 * np.pi * ring_hz * time_s) * np.exp(-time_s / fades_s)
    sound = np.zeros(SAMPLES + length)
    for start in starts:
        sound[start : start + length] += ring
    return sound[:SAMPLES]


def _bearing(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 1.5 * _knocks(angle, 1 / BALLS_PASS, float(rng.uniform(2800, 4200)), 0.0012)


def _tooth(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 2.5 * _knocks(angle, 1.0, float(rng.uniform(900, 2000)), 0.004)


def _loose(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 2.5 * _knocks(angle, 0.5, float(rng.uniform(300, 600)), 0.006)


def _rub(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hiss = np.diff(rng.normal(size=SAMPLES + 1))
    touching = np.clip(np.sin(angle + float(rng.uniform(0, 6.28))), 0, None) ** 2
    return 0.6 * hiss * touching


_FAULTS = {"bearing": _bearing, "tooth": _tooth, "loose": _loose, "rub": _rub}
