"""Pictures of a video file, a network stream (RTSP, HTTP) or a camera (V4L2), decoded by PyAV (FFmpeg).

Frames go on as PPM files of RGB pixels. FFmpeg may open what the stage names and nothing else: a playlist
that points at files of the device is refused by its protocol list.
"""

import os
import threading
import time
from typing import Any, Dict, Iterator, Optional, Union
from urllib.parse import quote, urlsplit, urlunsplit

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.frames import Frame
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.capture import V4l2, VideoFile, VideoStream
from edgeform_runtime.stages.capture.following import (
    Backoff,
    FrameMaker,
    SourceLost,
    following,
    package_missing,
)
from edgeform_runtime.stages.content import ppm_of
from edgeform_runtime.stages.contract import Notices

VideoStage = Union[VideoFile, VideoStream, V4l2]
MAX_PIXELS = 32_000_000
FILE_PROTOCOLS = "file"
STREAM_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy"
MAX_BROKEN = 100
"""So many broken packets one after the other are a lost stream, not a scratch."""

_KINDS = {VideoFile: "video_file", VideoStream: "video_stream", V4l2: "v4l2"}


class VideoSource:
    """Frames of the first video stream, at most `fps` a second.

    Args:
        password: put into the address of a stream, percent-encoded, and shown nowhere.

    Raises:
        PipelineInvalid: PyAV is not in the closure.
    """

    def __init__(
        self,
        stage: VideoStage,
        prefix: str,
        stop: threading.Event,
        *,
        password: Optional[str] = None,
        backoff: Optional[Backoff] = None,
    ) -> None:
        try:
            import av  # noqa: PLC0415 - 34 MB that only this stage needs
        except ImportError as exc:
            raise package_missing(_KINDS[type(stage)], "av") from exc
        self._av: Any = av
        self._stage, self._stop = stage, stop
        self._backoff = backoff or Backoff()
        self._password = password
        if isinstance(stage, VideoFile):
            self._address = "file:" + os.path.abspath(os.path.join(prefix, stage.path))
            self._name = os.path.basename(stage.path)
        elif isinstance(stage, V4l2):
            self._address = os.path.join(prefix, stage.path)
            self._name = os.path.basename(stage.path)
        else:
            self._address = address_of(stage.url, stage.username, password)
            self._name = urlsplit(stage.url).hostname or "stream"

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """Frames until the stop event, or until a file that is not repeated ends."""
        maker = FrameMaker(self._name)
        stage = self._stage
        if isinstance(stage, VideoFile) and not stage.repeat:
            yield from self._once(maker, notices)
            return
        for content in following(
            lambda: self._repeated(notices),
            stop=self._stop,
            notices=notices,
            backoff=self._backoff,
        ):
            yield maker.frame(content)

    def _once(self, maker: FrameMaker, notices: Notices) -> Iterator[Frame]:
        """A film that is played once: its end is an end, and one that cannot be read is not tried again."""
        count = 0
        try:
            for content in self._contents(notices):
                if self._stop.is_set():
                    return
                if content is not None:
                    if not count:
                        notices.found()
                    count += 1
                    yield maker.frame(content)
        except SourceLost as exc:
            notices.lost(exc.reason, exc.summary)
            return
        log("info", "capture_ended", name=self._name, frames=count)

    def _repeated(self, notices: Notices) -> Iterator[Optional[bytes]]:
        """A stream once; a file again and again, since its end is no loss."""
        while True:
            count = 0
            for content in self._contents(notices):
                count += 1
                yield content
            if not isinstance(self._stage, VideoFile) or not count:
                return

    def _contents(self, notices: Notices) -> Iterator[Optional[bytes]]:
        container = self._open()
        try:
            yield from self._decoded(container, notices)
        except self._av.error.FFmpegError as exc:
            raise SourceLost("stream", f"{self._name}: {self._safe(exc)}") from None
        finally:
            container.close()

    def _open(self) -> Any:
        stage = self._stage
        options: Dict[str, str] = {"protocol_whitelist": FILE_PROTOCOLS}
        timeout_s, form = 10.0, None
        if isinstance(stage, V4l2):
            # Source of the options: FFmpeg's documentation of devices, 3.20 video4linux2.
            options = {"video_size": f"{stage.width}x{stage.height}", "input_format": stage.format}
            timeout_s, form = stage.timeout_s, "v4l2"
        elif isinstance(stage, VideoStream):
            timeout_s = stage.timeout_s
            options = {"protocol_whitelist": STREAM_PROTOCOLS}
            if stage.url.startswith("rtsp"):
                # What came while the stream was probed is old by then; over HTTP it may be a whole film.
                options.update(rtsp_transport=stage.transport, fflags="nobuffer")
        try:
            container = self._av.open(
                self._address, format=form, options=options, timeout=timeout_s
            )
        except (self._av.error.FFmpegError, OSError, ValueError) as exc:
            # The exception's text may hold the address with its password; it is cleaned, and no cause kept.
            raise SourceLost("unreachable", f"{self._name}: {self._safe(exc)}") from None
        if not container.streams.video:
            container.close()
            raise SourceLost("no_video", f"{self._name} has no video stream")
        return container

    def _decoded(self, container: Any, notices: Notices) -> Iterator[Optional[bytes]]:
        stream = container.streams.video[0]
        pace = Pace(self._stage, self._stop)
        broken = 0
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
                broken = 0
            except self._av.error.InvalidDataError:
                notices.failed("corrupt")
                broken += 1
                if broken >= MAX_BROKEN:
                    raise SourceLost("corrupt", f"{broken} broken packets in a row") from None
                continue
            for picture in pictures:
                self._check_size(picture.width, picture.height)
                if picture.width * picture.height > MAX_PIXELS:
                    notices.failed("too_large")
                elif pace.is_wanted(picture.time):
                    yield ppm_of(picture.to_ndarray(format="rgb24"))
            yield None

    def _check_size(self, width: int, height: int) -> None:
        """A driver that cannot do a size takes another one in silence, and the model sees another picture."""
        stage = self._stage
        if isinstance(stage, V4l2) and (width, height) != (stage.width, stage.height):
            asked = f"{stage.width}x{stage.height}"
            raise SourceLost("size", f"{self._name} gives {width}x{height}, not {asked}")

    def _safe(self, exc: BaseException) -> str:
        """The error without the password."""
        text = str(exc).replace(self._address, self._name)
        if self._password:
            text = text.replace(self._password, "***").replace(quote(self._password, ""), "***")
        return text


class Pace:
    """Chooses frames for at most `fps` a second by their own time, and plays a file in real time."""

    def __init__(self, stage: VideoStage, stop: threading.Event) -> None:
        self._step_s = 1.0 / stage.fps if stage.fps else 0.0
        self._is_real = isinstance(stage, VideoFile) and stage.pace == "real"
        self._stop = stop
        self._next: Optional[float] = None
        self._started: Optional[float] = None

    def is_wanted(self, time_s: Optional[float]) -> bool:
        """Whether this frame is due; waits until its time where a file is played in real time."""
        now = time.monotonic()
        at = now if time_s is None else time_s
        if (
            self._next is None or at < self._next - 10.0
        ):  # the first, or the stream's clock went back
            self._next, self._started = at, now - at
        if at < self._next - 1e-6:
            return False
        # Steps from the first frame, not from this one, or 25 frames a second never become exactly 10.
        self._next = max(self._next + self._step_s, at - self._step_s) if self._step_s else at
        if self._is_real and self._started is not None:
            self._stop.wait(max(0.0, self._started + at - time.monotonic()))
        return True


def address_of(url: str, username: str, password: Optional[str]) -> str:
    """The stream's address with its credentials.

    Raises:
        PipelineInvalid: the scheme is none of rtsp, rtsps, http, https, or it holds a password already.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("rtsp", "rtsps", "http", "https") or not parts.hostname:
        raise PipelineInvalid(f"video_stream.url: {url!r:.80} is no rtsp or http address")
    if parts.password is not None:
        raise PipelineInvalid("video_stream.url holds a password; use username and password_secret")
    if not username:
        return url
    user = quote(username, safe="")
    if password is not None:
        user += ":" + quote(password, safe="")
    netloc = user + "@" + parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
