"""Capture operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.capture import (
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
from edgeform.spec.fields import (
    Mapping,
    block,
    boolean_or,
    integer_or,
    number_or,
    size_or,
    text,
    text_or,
)
from edgeform.spec.operators.broker import broker


def _image_directory(spec: Mapping) -> ImageDirectory:
    return ImageDirectory(
        path=text_or(spec, "path", ""),
        pattern=text_or(spec, "pattern", "*.png"),
        interval_s=number_or(spec, "interval_s", 1.0),
        after=text_or(spec, "after", "keep"),
    )


def _http_push(spec: Mapping) -> HttpPush:
    return HttpPush(
        max_bytes=size_or(spec, "max_bytes", 16 * 1024 * 1024),
        payload=text_or(spec, "payload", "picture"),
    )


def _video_file(spec: Mapping) -> VideoFile:
    return VideoFile(
        path=text_or(spec, "path", ""),
        fps=number_or(spec, "fps", 0.0),
        pace=text_or(spec, "pace", "real"),
        repeat=boolean_or(spec, "repeat", default=True),
        consume=text_or(spec, "consume", "lazy"),
    )


def _video_stream(spec: Mapping) -> VideoStream:
    return VideoStream(
        url=text_or(spec, "url", ""),
        transport=text_or(spec, "transport", "tcp"),
        fps=number_or(spec, "fps", 0.0),
        timeout_s=number_or(spec, "timeout_s", 10.0),
        consume=text_or(spec, "consume", "eager"),
        username=text_or(spec, "username", ""),
        password_secret=text(spec, "password_secret"),
    )


def _mqtt(spec: Mapping) -> Mqtt:
    return Mqtt(
        broker=broker(block(spec, "broker")),
        topic=text_or(spec, "topic", ""),
        qos=integer_or(spec, "qos", 1),
        payload=text_or(spec, "payload", "picture"),
        channels=integer_or(spec, "channels", 0),
        window=integer_or(spec, "window", 1),
        hop=integer_or(spec, "hop", 0),
        client_id=text_or(spec, "client_id", ""),
    )


def _modbus(spec: Mapping) -> Modbus:
    return Modbus(
        host=text_or(spec, "host", ""),
        address=integer_or(spec, "address", 0),
        port=integer_or(spec, "port", 502),
        unit=integer_or(spec, "unit", 1),
        table=text_or(spec, "table", "holding"),
        count=integer_or(spec, "count", 1),
        type=text_or(spec, "type", "u16"),
        word_order=text_or(spec, "word_order", "big"),
        scale=number_or(spec, "scale", 1.0),
        offset=number_or(spec, "offset", 0.0),
        interval_s=number_or(spec, "interval_s", 1.0),
        timeout_s=number_or(spec, "timeout_s", 3.0),
        window=integer_or(spec, "window", 1),
        hop=integer_or(spec, "hop", 0),
    )


def _text_lines(spec: Mapping) -> TextLines:
    return TextLines(
        path=text_or(spec, "path", ""),
        mode=text_or(spec, "mode", "tail"),
        start=text_or(spec, "start", "end"),
        payload=text_or(spec, "payload", "text"),
        channels=integer_or(spec, "channels", 0),
        window=integer_or(spec, "window", 1),
        hop=integer_or(spec, "hop", 0),
        separator=text_or(spec, "separator", ","),
        max_line_bytes=integer_or(spec, "max_line_bytes", 65536),
    )


def _serial(spec: Mapping) -> Serial:
    return Serial(
        path=text_or(spec, "path", ""),
        baud=integer_or(spec, "baud", 115200),
        payload=text_or(spec, "payload", "series"),
        channels=integer_or(spec, "channels", 0),
        window=integer_or(spec, "window", 1),
        hop=integer_or(spec, "hop", 0),
        separator=text_or(spec, "separator", ","),
        max_line_bytes=integer_or(spec, "max_line_bytes", 4096),
    )


def _audio(spec: Mapping) -> Audio:
    return Audio(
        device=text_or(spec, "device", "default"),
        rate_hz=integer_or(spec, "rate_hz", 16000),
        channels=integer_or(spec, "channels", 1),
        length_s=number_or(spec, "length_s", 1.0),
        hop_s=number_or(spec, "hop_s", 0.0),
    )


def _v4l2(spec: Mapping) -> V4l2:
    return V4l2(
        path=text_or(spec, "path", "/dev/video0"),
        width=integer_or(spec, "width", 640),
        height=integer_or(spec, "height", 480),
        format=text_or(spec, "format", "mjpeg"),
        fps=number_or(spec, "fps", 0.0),
        timeout_s=number_or(spec, "timeout_s", 10.0),
    )


OPERATORS: dict[str, Callable[[Mapping], Capture]] = {
    "image_directory": _image_directory,
    "http_push": _http_push,
    "video_file": _video_file,
    "video_stream": _video_stream,
    "mqtt": _mqtt,
    "modbus": _modbus,
    "text_lines": _text_lines,
    "serial": _serial,
    "audio": _audio,
    "v4l2": _v4l2,
}
