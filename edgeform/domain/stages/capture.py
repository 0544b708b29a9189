"""Where frames come from: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar

from edgeform.domain.stages.broker import Broker


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDirectory:
    """Take the files of a directory, oldest name first; finished ones may be moved or deleted."""

    kind: ClassVar[str] = "image_directory"
    path: str
    pattern: str = "*.png"
    interval_s: float = 1.0
    after: str = "keep"
    """keep (play them again), delete, or move (into `done/` beside them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPush:
    """Take frames that are posted to `/v1/frames` of the runtime's own server."""

    kind: ClassVar[str] = "http_push"
    max_bytes: int = 16 * 1024 * 1024
    payload: str = "picture"
    """picture, audio (WAV), series (NPY) or text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFile:
    """Play a video file. Needs PyAV in the closure."""

    kind: ClassVar[str] = "video_file"
    path: str
    """File on the device."""
    fps: float = 0.0
    """At most so many frames a second, by the file's own time; 0 is all."""
    pace: str = "real"
    """`real` plays as fast as it was filmed, `fast` as fast as the device can."""
    repeat: bool = True
    """Begin again at the end."""
    consume: str = "lazy"
    """`lazy` decodes when the queue has room, `eager` all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """Take the pictures of an RTSP or HTTP video stream. Needs PyAV in the closure."""

    kind: ClassVar[str] = "video_stream"
    url: str
    """rtsp, rtsps, http or https address, without a password."""
    transport: str = "tcp"
    """How RTSP carries the pictures."""
    fps: float = 0.0
    """At most so many frames a second; 0 is all."""
    timeout_s: float = 10.0
    """A stream that is silent for so long is lost and opened again."""
    consume: str = "eager"
    """`eager` decodes all the time, so that the queue holds the newest; `lazy` decodes when it has room."""
    username: str = ""
    """Who asks."""
    password_secret: str | None = None
    """Name of the pipeline's secret that holds the password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """Take the messages of an MQTT topic. Needs paho-mqtt in the closure."""

    kind: ClassVar[str] = "mqtt"
    broker: Broker
    topic: str
    """Topic or filter."""
    qos: int = 1
    """1: the broker keeps messages until the pipeline is through. 0: what comes too fast is dropped."""
    payload: str = "picture"
    """What a message holds; a series is one row of numbers, separated by commas or a JSON list."""
    channels: int = 0
    """Numbers in a row; 0 takes as many as the first row has."""
    window: int = 1
    """Rows in a frame."""
    hop: int = 0
    """Rows between two windows; 0 is as many as a window has."""
    client_id: str = ""
    """What the broker knows this pipeline by; nothing: edgeform, device and pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modbus:
    """Read registers of a Modbus TCP server at a fixed rate."""

    kind: ClassVar[str] = "modbus"
    host: str
    """The server."""
    address: int
    """The first register or bit, from 0 as in the protocol."""
    port: int = 502
    """The server's port."""
    unit: int = 1
    """Unit identifier behind a gateway."""
    table: str = "holding"
    """Which of the four tables."""
    count: int = 1
    """How many numbers one reading has."""
    type: str = "u16"
    """What a number is; 32 bits take two registers. Bits are 0 or 1."""
    word_order: str = "big"
    """Which of two registers comes first."""
    scale: float = 1.0
    """Every number is multiplied by this."""
    offset: float = 0.0
    """Then this is added."""
    interval_s: float = 1.0
    """Seconds between two readings."""
    timeout_s: float = 3.0
    """Longest wait for an answer."""
    window: int = 1
    """Rows in a frame."""
    hop: int = 0
    """Rows between two windows; 0 is as many as a window has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLines:
    """Take lines that are appended to a file, or sent to a unix socket."""

    kind: ClassVar[str] = "text_lines"
    path: str
    """File, or socket to listen on."""
    mode: str = "tail"
    """`tail` follows a file also when it is rotated, `listen` makes a unix socket."""
    start: str = "end"
    """Where in a file that is already there to begin."""
    payload: str = "text"
    """A line is a text, or a row of numbers."""
    channels: int = 0
    """Numbers in a row; 0 takes as many as the first row has."""
    window: int = 1
    """Rows in a frame."""
    hop: int = 0
    """Rows between two windows; 0 is as many as a window has."""
    separator: str = ","
    """Between the numbers of a row; `space` is any blank."""
    max_line_bytes: int = 65536
    """Longer lines are counted and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serial:
    """Take lines from a serial port (8 data bits, no parity, one stop bit)."""

    kind: ClassVar[str] = "serial"
    path: str
    """The port, as /dev/ttyUSB0; better by its name in /dev/serial/by-id."""
    baud: int = 115200
    """Bits a second."""
    payload: str = "series"
    """A line is a text, or a row of numbers."""
    channels: int = 0
    """Numbers in a row; 0 takes as many as the first row has."""
    window: int = 1
    """Rows in a frame."""
    hop: int = 0
    """Rows between two windows; 0 is as many as a window has."""
    separator: str = ","
    """Between the numbers of a row; `space` is any blank."""
    max_line_bytes: int = 4096
    """Longer lines are counted and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Record from an ALSA device with arecord (alsa-utils), in pieces."""

    kind: ClassVar[str] = "audio"
    device: str = "default"
    """ALSA's name of the device, as `arecord -L` prints it."""
    rate_hz: int = 16000
    """Samples a second."""
    channels: int = 1
    """Channels recorded; their mean goes on."""
    length_s: float = 1.0
    """Seconds in a frame."""
    hop_s: float = 0.0
    """Seconds between two frames; 0 is as many as a frame has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class V4l2:
    """Take pictures of a camera through Video4Linux 2. Needs PyAV in the closure."""

    kind: ClassVar[str] = "v4l2"
    path: str = "/dev/video0"
    """The camera; better by its name in /dev/v4l/by-id."""
    width: int = 640
    """Pixels asked for; a camera that gives another size is an error."""
    height: int = 480
    """Pixels asked for."""
    format: str = "mjpeg"
    """What the camera sends."""
    fps: float = 0.0
    """At most so many frames a second; 0 is all."""
    timeout_s: float = 10.0
    """Longest wait for the camera to open."""


Capture = (
    ImageDirectory
    | HttpPush
    | VideoFile
    | VideoStream
    | Mqtt
    | Modbus
    | TextLines
    | Serial
    | Audio
    | V4l2
)
