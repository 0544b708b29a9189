"""Which stage may follow which: what a capture gives, what each preprocessing step takes and gives.

Both sides ask here, so that `validate` refuses what the runtime would refuse, in the same words.
"""

import ipaddress
from typing import Mapping, Sequence, Tuple

PICTURE, AUDIO, SERIES, TEXT = "picture", "audio", "series", "text"
PIXELS, FEATURES, TENSOR = "normalised pixels", "features", "tensor"
_ARTICLES = {PICTURE: "a picture", SERIES: "a series of numbers", TENSOR: "a finished tensor"}
_CAPTURES = {
    "image_directory": PICTURE,
    "video_file": PICTURE,
    "video_stream": PICTURE,
    "v4l2": PICTURE,
    "audio": AUDIO,
    "modbus": SERIES,
}
"""The other captures say it themselves, in `payload`; where that is left out:"""
_PAYLOADS = {"serial": SERIES, "text_lines": TEXT}
_DETECTORS = ("yolov8", "anchors")
_SAME = ""
_STEPS = {
    "resize": ((PICTURE,), _SAME),
    "crop": ((PICTURE,), _SAME),
    "colour": ((PICTURE,), _SAME),
    "normalise": ((PICTURE,), PIXELS),
    "audio_frames": ((AUDIO,), FEATURES),
    "log_mel": ((AUDIO,), FEATURES),
    "window": ((SERIES, FEATURES), _SAME),
    "z_score": ((SERIES, FEATURES), _SAME),
    "tokenise": ((TEXT,), TENSOR),
}
PICTURE_ORDERS, SERIES_ORDERS = ("nchw", "nhwc"), ("ntc", "nct", "n1tc")


def media_of(capture: Mapping[str, object]) -> str:
    """What a capture stage (`kind` and its fields) gives: picture, audio, series or text."""
    kind = str(capture.get("kind"))
    return _CAPTURES.get(kind) or str(capture.get("payload", _PAYLOADS.get(kind, PICTURE)))


def is_loopback(address: str) -> bool:
    """Whether only this very machine can reach a server there; a name is not looked up."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def mask_problem(media: str, masks: Sequence[str]) -> str:
    """Why a mask (regions, channels, text) cannot be laid over such input; empty if all can."""
    for name in masks:
        wanted = _MASKS[name]
        if media != wanted:
            return f"mask.{name} is for {_MASKED[wanted]}, and the capture gives {media}"
    return ""


_MASKS = {"regions": PICTURE, "channels": SERIES, "text": TEXT}
_MASKED = {PICTURE: "pictures", SERIES: "series", TEXT: "text"}


def problem(
    capture: Mapping[str, object], steps: Sequence[Mapping[str, object]], postprocess: str
) -> Tuple[int, str]:
    """The number of the first step that does not fit what stands before it, and why; (-1, "") if all fit."""
    now, before = media_of(capture), f"capture {capture.get('kind')}"
    for number, step in enumerate(steps):
        kind = str(step.get("kind"))
        takes, gives = _edges(kind, str(step.get("order", "nchw")))
        if now not in takes:
            named = f"layout {step.get('order', 'nchw')}" if kind == "layout" else kind
            wanted = " or ".join(_ARTICLES.get(one, one) for one in takes)
            there = _ARTICLES.get(now, now)
            return number, f"{named} takes {wanted}, and after {before} there is {there}"
        wrong = _wrong_log_mel(capture, step) if kind == "log_mel" else ""
        if kind == "crop" and postprocess in _DETECTORS:
            wrong = f"crop before {postprocess} would move its boxes; crop is for classifiers"
        if wrong:
            return number, wrong
        now, before = gives or now, kind
    return -1, ""


def _wrong_log_mel(capture: Mapping[str, object], step: Mapping[str, object]) -> str:
    rate, fft, length = (_number(step, name) for name in ("rate_hz", "fft", "length"))
    if capture.get("kind") == "audio" and _number(capture, "rate_hz") != rate:
        given = _number(capture, "rate_hz")
        return f"log_mel is for {rate:g} Hz, and capture audio gives {given:g} Hz"
    if fft < length:
        return f"log_mel.fft of {fft:g} is shorter than its frames of {length:g} samples"
    low, high = _number(step, "low_hz"), _number(step, "high_hz") or rate / 2
    if not low < high <= rate / 2:
        return f"log_mel from {low:g} to {high:g} Hz does not lie below half of {rate:g} Hz"
    return ""


_DEFAULTS = {"rate_hz": 16000.0, "fft": 512.0, "length": 400.0, "low_hz": 20.0, "high_hz": 0.0}


def _number(fields: Mapping[str, object], name: str) -> float:
    value = fields.get(name, _DEFAULTS[name])
    return float(value) if isinstance(value, (int, float)) else 0.0


def _edges(kind: str, order: str) -> Tuple[Tuple[str, ...], str]:
    if kind == "layout":
        is_picture = order in PICTURE_ORDERS
        return ((PICTURE, PIXELS) if is_picture else (SERIES, FEATURES)), TENSOR
    return _STEPS[kind]
