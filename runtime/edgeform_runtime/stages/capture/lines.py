"""Lines of text or numbers: a file that grows, a unix socket that we listen on, a serial port.

A serial port is set up with termios of the standard library; nothing else is needed.
"""

import os
import select
import socket
import stat
import termios
import threading
from typing import Dict, Iterator, List, Optional, Union

from edgeform_runtime.errors import FrameError
from edgeform_runtime.frames import Frame
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.capture import Serial, TextLines
from edgeform_runtime.stages.capture.following import (
    Backoff,
    FrameMaker,
    SourceLost,
    following,
)
from edgeform_runtime.stages.capture.rows import Reader
from edgeform_runtime.stages.contract import Notices

CHUNK_BYTES = 64 * 1024
WAIT_S = 0.5
SOCKET_MODE = 0o660
BAUDS: Dict[int, int] = {
    rate: getattr(termios, f"B{rate}")
    for rate in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
    if hasattr(termios, f"B{rate}")
}


class LineSplitter:
    """Whole lines out of chunks; a line over the limit is thrown away whole and counted once."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._rest = b""
        self._is_skipping = False

    def add(self, chunk: bytes, notices: Notices) -> List[bytes]:
        parts = (self._rest + chunk).split(b"\n")
        self._rest = parts.pop()
        lines = []
        for part in parts:
            if self._is_skipping:
                self._is_skipping = False
            elif len(part) > self._max:
                notices.failed("too_large")
            else:
                lines.append(part.rstrip(b"\r"))
        if len(self._rest) > self._max:
            if not self._is_skipping:
                notices.failed("too_large")
            self._is_skipping, self._rest = True, b""
        return lines


class LineSource:
    """Frames of a text_lines or serial stage."""

    def __init__(
        self,
        stage: Union[TextLines, Serial],
        prefix: str,
        stop: threading.Event,
        backoff: Optional[Backoff] = None,
    ) -> None:
        self._stage, self._stop = stage, stop
        self._path = os.path.join(prefix, stage.path)
        self._backoff = backoff or Backoff()
        self._is_first_opening = True
        self._reader = Reader(
            payload=stage.payload,
            channels=stage.channels,
            window=stage.window,
            hop=stage.hop,
            separator=stage.separator,
        )

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """Lines or windows until the stop event."""
        maker = FrameMaker(os.path.basename(self._path))
        for content in following(
            lambda: self._contents(notices),
            stop=self._stop,
            notices=notices,
            backoff=self._backoff,
        ):
            yield maker.frame(content)

    def _contents(self, notices: Notices) -> Iterator[Optional[bytes]]:
        splitter = LineSplitter(self._stage.max_line_bytes)
        self._reader.restart()
        for chunk in self._chunks():
            if not chunk:
                yield None
                continue
            for line in splitter.add(chunk, notices):
                try:
                    yield self._reader.content(line)
                except FrameError as exc:
                    log("warning", "capture_failed", name=self._path, reason=exc.summary)
                    notices.failed(exc.reason)
                    self._reader.restart()
                    yield None

    def _chunks(self) -> Iterator[bytes]:
        stage = self._stage
        try:
            if isinstance(stage, Serial):
                yield from _port(self._path, stage.baud)
            elif stage.mode == "listen":
                yield from _listen(self._path)
            else:
                is_at_end = stage.start == "end" and self._is_first_opening
                yield from _tail(self._path, self._stop, is_at_end=is_at_end)
        except FileNotFoundError as exc:
            self._is_first_opening = False  # what is written after it appears is all new
            raise SourceLost("missing", f"{self._path} is not there") from exc
        except (OSError, termios.error) as exc:
            raise SourceLost("unreadable", f"{self._path}: {exc}") from exc
        finally:
            self._is_first_opening = False


def _tail(path: str, stop: threading.Event, *, is_at_end: bool) -> Iterator[bytes]:
    """What is appended to a file; ends when the file was replaced or cut, after its rest was read."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise SourceLost("not_a_file", f"{path} is no file")
        if is_at_end:
            os.lseek(handle, 0, os.SEEK_END)
        yield b""  # it is there, even while nothing is written
        while True:
            chunk = os.read(handle, CHUNK_BYTES)
            if chunk:
                yield chunk
                continue
            here, there = os.fstat(handle), os.stat(path)
            is_replaced = (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)
            if is_replaced or here.st_size < os.lseek(handle, 0, os.SEEK_CUR):
                raise SourceLost("rotated", f"{path} was replaced or cut")
            stop.wait(WAIT_S / 5)
            yield b""
    finally:
        os.close(handle)


def _port(path: str, baud: int) -> Iterator[bytes]:
    """What comes from a serial port at 8 data bits, no parity, one stop bit, raw."""
    handle = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.isatty(handle):
            raise SourceLost("not_a_port", f"{path} is no serial port")
        settings = termios.tcgetattr(handle)
        flags = termios.CS8 | termios.CREAD | termios.CLOCAL
        settings[:6] = [0, 0, flags, 0, BAUDS[baud], BAUDS[baud]]
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
        termios.tcsetattr(handle, termios.TCSANOW, settings)
        termios.tcflush(handle, termios.TCIFLUSH)  # half a line from before we listened
        yield b""
        while True:
            ready, _, _ = select.select([handle], [], [], WAIT_S)
            if not ready:
                yield b""
                continue
            chunk = os.read(handle, CHUNK_BYTES)
            if not chunk:
                raise SourceLost("unplugged", f"{path} hung up")
            yield chunk
    finally:
        os.close(handle)


def _listen(path: str) -> Iterator[bytes]:
    """What one writer after the other sends to our unix socket; ends with each writer."""
    if os.path.exists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise SourceLost("not_a_socket", f"{path} is there and no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as server:
        if os.path.lexists(path):
            os.unlink(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        server.bind(path)
        os.chmod(path, SOCKET_MODE)
        server.listen(4)
        server.settimeout(WAIT_S)
        while True:
            yield b""
            try:
                connection, _ = server.accept()
            except socket.timeout:
                continue
            with connection:
                connection.settimeout(WAIT_S)
                yield from _received(connection)


def _received(connection: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            chunk = connection.recv(CHUNK_BYTES)
        except socket.timeout:
            yield b""
            continue
        except ConnectionError:
            chunk = b""
        if not chunk:
            yield b"\n"  # a writer's last line needs no line end
            return
        yield chunk
