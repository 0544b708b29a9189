"""Where frames come from, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Union

from edgeform_runtime.pipeline.bounds import among, at_least, at_most, between, one_of
from edgeform_runtime.pipeline.broker import Broker, broker_of
from edgeform_wire.fields import Fields

AFTER = ("keep", "delete", "move")
MEDIA = ("picture", "audio", "series", "text")
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)


@dataclass(frozen=True)
class ImageDirectory:
    path: str
    pattern: str
    interval_s: float
    after: str


@dataclass(frozen=True)
class HttpPush:
    max_bytes: int
    payload: str


@dataclass(frozen=True)
class VideoFile:
    path: str
    fps: float
    pace: str
    repeat: bool
    consume: str


@dataclass(frozen=True)
class VideoStream:
    url: str
    transport: str
    fps: float
    timeout_s: float
    consume: str
    username: str
    password_secret: Optional[str]


@dataclass(frozen=True)
class Mqtt:
    broker: Broker
    topic: str
    qos: int
    payload: str
    channels: int
    window: int
    hop: int
    client_id: str


@dataclass(frozen=True)
class Modbus:
    host: str
    address: int
    port: int
    unit: int
    table: str
    count: int
    type: str
    word_order: str
    scale: float
    offset: float
    interval_s: float
    timeout_s: float
    window: int
    hop: int


@dataclass(frozen=True)
class TextLines:
    path: str
    mode: str
    start: str
    payload: str
    channels: int
    window: int
    hop: int
    separator: str
    max_line_bytes: int


@dataclass(frozen=True)
class Serial:
    path: str
    baud: int
    payload: str
    channels: int
    window: int
    hop: int
    separator: str
    max_line_bytes: int


@dataclass(frozen=True)
class Audio:
    device: str
    rate_hz: int
    channels: int
    length_s: float
    hop_s: float


@dataclass(frozen=True)
class V4l2:
    path: str
    width: int
    height: int
    format: str
    fps: float
    timeout_s: float


Capture = Union[
    ImageDirectory,
    HttpPush,
    VideoFile,
    VideoStream,
    Mqtt,
    Modbus,
    TextLines,
    Serial,
    Audio,
    V4l2,
]


def _image_directory(fields: Fields) -> ImageDirectory:
    return ImageDirectory(
        path=fields.text("path"),
        pattern=fields.text("pattern", "*.png"),
        interval_s=at_least(fields.number("interval_s", 1.0), 0.0, "capture.interval_s"),
        after=among(fields.text("after", "keep"), AFTER, "capture.after"),
    )


def _http_push(fields: Fields) -> HttpPush:
    return HttpPush(
        max_bytes=fields.integer("max_bytes", 1, 16 * 1024 * 1024),
        payload=among(fields.text("payload", "picture"), MEDIA, "http_push.payload"),
    )


def _video_file(fields: Fields) -> VideoFile:
    return VideoFile(
        path=fields.text("path"),
        fps=between(fields.number("fps", 0.0), 0.0, 1000.0, "video_file.fps"),
        pace=among(fields.text("pace", "real"), ("real", "fast"), "video_file.pace"),
        repeat=fields.boolean("repeat", default=True),
        consume=among(fields.text("consume", "lazy"), ("lazy", "eager"), "video_file.consume"),
    )


def _video_stream(fields: Fields) -> VideoStream:
    return VideoStream(
        url=fields.text("url"),
        transport=among(fields.text("transport", "tcp"), ("tcp", "udp"), "video_stream.transport"),
        fps=between(fields.number("fps", 0.0), 0.0, 1000.0, "video_stream.fps"),
        timeout_s=between(fields.number("timeout_s", 10.0), 0.1, 600.0, "video_stream.timeout_s"),
        consume=among(fields.text("consume", "eager"), ("lazy", "eager"), "video_stream.consume"),
        username=fields.text("username", ""),
        password_secret=fields.optional_text("password_secret"),
    )


def _mqtt(fields: Fields) -> Mqtt:
    return Mqtt(
        broker=broker_of(fields),
        topic=fields.text("topic"),
        qos=at_most(fields.integer("qos", 0, 1), 1, "mqtt.qos"),
        payload=among(fields.text("payload", "picture"), MEDIA, "mqtt.payload"),
        channels=at_most(fields.integer("channels", 0, 0), 1024, "mqtt.channels"),
        window=at_most(fields.integer("window", 1, 1), 1000000, "mqtt.window"),
        hop=at_most(fields.integer("hop", 0, 0), 1000000, "mqtt.hop"),
        client_id=fields.text("client_id", ""),
    )


def _modbus(fields: Fields) -> Modbus:
    return Modbus(
        host=fields.text("host"),
        address=at_most(fields.integer("address", 0), 65535, "modbus.address"),
        port=at_most(fields.integer("port", 1, 502), 65535, "modbus.port"),
        unit=at_most(fields.integer("unit", 0, 1), 255, "modbus.unit"),
        table=among(
            fields.text("table", "holding"),
            ("holding", "input", "coils", "discrete"),
            "modbus.table",
        ),
        count=at_most(fields.integer("count", 1, 1), 62, "modbus.count"),
        type=among(fields.text("type", "u16"), ("u16", "i16", "u32", "i32", "f32"), "modbus.type"),
        word_order=among(fields.text("word_order", "big"), ("big", "little"), "modbus.word_order"),
        scale=fields.number("scale", 1.0),
        offset=fields.number("offset", 0.0),
        interval_s=between(fields.number("interval_s", 1.0), 0.01, 86400.0, "modbus.interval_s"),
        timeout_s=between(fields.number("timeout_s", 3.0), 0.1, 60.0, "modbus.timeout_s"),
        window=at_most(fields.integer("window", 1, 1), 1000000, "modbus.window"),
        hop=at_most(fields.integer("hop", 0, 0), 1000000, "modbus.hop"),
    )


def _text_lines(fields: Fields) -> TextLines:
    return TextLines(
        path=fields.text("path"),
        mode=among(fields.text("mode", "tail"), ("tail", "listen"), "text_lines.mode"),
        start=among(fields.text("start", "end"), ("end", "begin"), "text_lines.start"),
        payload=among(fields.text("payload", "text"), ("text", "series"), "text_lines.payload"),
        channels=at_most(fields.integer("channels", 0, 0), 1024, "text_lines.channels"),
        window=at_most(fields.integer("window", 1, 1), 1000000, "text_lines.window"),
        hop=at_most(fields.integer("hop", 0, 0), 1000000, "text_lines.hop"),
        separator=fields.text("separator", ","),
        max_line_bytes=at_most(
            fields.integer("max_line_bytes", 16, 65536), 1048576, "text_lines.max_line_bytes"
        ),
    )


def _serial(fields: Fields) -> Serial:
    return Serial(
        path=fields.text("path"),
        baud=one_of(fields.integer("baud", 1, 115200), BAUDS, "serial.baud"),
        payload=among(fields.text("payload", "series"), ("text", "series"), "serial.payload"),
        channels=at_most(fields.integer("channels", 0, 0), 1024, "serial.channels"),
        window=at_most(fields.integer("window", 1, 1), 1000000, "serial.window"),
        hop=at_most(fields.integer("hop", 0, 0), 1000000, "serial.hop"),
        separator=fields.text("separator", ","),
        max_line_bytes=at_most(
            fields.integer("max_line_bytes", 16, 4096), 1048576, "serial.max_line_bytes"
        ),
    )


def _audio(fields: Fields) -> Audio:
    return Audio(
        device=fields.text("device", "default"),
        rate_hz=at_most(fields.integer("rate_hz", 4000, 16000), 192000, "audio.rate_hz"),
        channels=at_most(fields.integer("channels", 1, 1), 8, "audio.channels"),
        length_s=between(fields.number("length_s", 1.0), 0.01, 60.0, "audio.length_s"),
        hop_s=between(fields.number("hop_s", 0.0), 0.0, 60.0, "audio.hop_s"),
    )


def _v4l2(fields: Fields) -> V4l2:
    return V4l2(
        path=fields.text("path", "/dev/video0"),
        width=at_most(fields.integer("width", 16, 640), 8192, "v4l2.width"),
        height=at_most(fields.integer("height", 16, 480), 8192, "v4l2.height"),
        format=among(fields.text("format", "mjpeg"), ("mjpeg", "yuyv422"), "v4l2.format"),
        fps=between(fields.number("fps", 0.0), 0.0, 1000.0, "v4l2.fps"),
        timeout_s=between(fields.number("timeout_s", 10.0), 0.1, 600.0, "v4l2.timeout_s"),
    )


OPERATORS: Dict[str, Callable[[Fields], Capture]] = {
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
