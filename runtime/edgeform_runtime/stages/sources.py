"""The source of a capture stage: one line per operator, imported only where it is used."""

import threading
from typing import Any, Callable, Dict

from edgeform_runtime.pipeline.capture import (
    Audio,
    Capture,
    HttpPush,
    ImageDirectory,
    Modbus,
    Mqtt,
    Serial,
    TextLines,
    V4l2,
    VideoFile,
    VideoStream,
)
from edgeform_runtime.stages.contract import Place, Source

# ruff: noqa: PLC0415 - a source is imported only where it is used


def is_pushed(stage: Capture) -> bool:
    """Whether frames come through the pipeline's own server, so that no thread fetches them."""
    return isinstance(stage, HttpPush)


def is_lazy(stage: Capture) -> bool:
    """Whether the source is asked for a frame only when the queue has room for it."""
    return isinstance(stage, (VideoFile, VideoStream)) and stage.consume == "lazy"


def source_of(stage: Capture, place: Place, stop: threading.Event) -> Source:
    """The stage's source; its frames end soon after `stop` is set. Nothing is opened yet.

    Raises:
        PipelineInvalid: the closure lacks what the stage needs. SecretMissing: a secret that it names.
    """
    return _SOURCES[type(stage)](stage, place, stop)


def _directory(stage: ImageDirectory, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.directory import DirectorySource

    return DirectorySource(stage, place.prefix, stop)


def _video_file(stage: VideoFile, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.video import VideoSource

    return VideoSource(stage, place.prefix, stop)


def _video_stream(stage: VideoStream, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.video import VideoSource

    secret = stage.password_secret
    password = place.secrets.value(secret).decode().strip() if secret else None
    return VideoSource(stage, place.prefix, stop, password=password)


def _v4l2(stage: V4l2, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.video import VideoSource

    return VideoSource(stage, place.prefix, stop)


def _mqtt(stage: Mqtt, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.mqtt import MqttSource

    return MqttSource(stage, stop, place=place)


def _modbus(stage: Modbus, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.modbus import ModbusSource

    del place
    return ModbusSource(stage, stop)


def _lines(stage: Any, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.lines import LineSource

    return LineSource(stage, place.prefix, stop)


def _audio(stage: Audio, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.alsa import AlsaSource

    del place
    return AlsaSource(stage, stop)


_SOURCES: Dict[type, Callable[[Any, Place, threading.Event], Source]] = {
    ImageDirectory: _directory,
    VideoFile: _video_file,
    VideoStream: _video_stream,
    V4l2: _v4l2,
    Mqtt: _mqtt,
    Modbus: _modbus,
    TextLines: _lines,
    Serial: _lines,
    Audio: _audio,
}
