"""Registers of a Modbus TCP server (a PLC, a power meter), read at a fixed rate.

Only the four reading functions exist here; nothing in this module can write to a machine.
Source: MODBUS Application Protocol 1.1b3, MODBUS Messaging on TCP/IP 1.0b (modbus.org).
"""

import socket
import struct
import threading
import time
from typing import Iterator, List, Optional

from edgeform_runtime.errors import FrameError
from edgeform_runtime.frames import Frame
from edgeform_runtime.logs import log
from edgeform_runtime.modbus_tcp import Connection, ModbusRefused
from edgeform_runtime.pipeline.capture import Modbus
from edgeform_runtime.stages.capture.following import (
    Backoff,
    FrameMaker,
    SourceLost,
    following,
)
from edgeform_runtime.stages.capture.rows import Windows
from edgeform_runtime.stages.contract import Notices

FUNCTIONS = {"coils": 1, "discrete": 2, "holding": 3, "input": 4}
WORDS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2}
_UNPACK = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
MAX_REGISTERS, MAX_BITS = 125, 2000
_REFUSED = (1, 2, 3)
"""Exceptions that say the question is wrong, while the connection is good."""


class ModbusClient:
    """The reading functions on one connection.

    Raises:
        OSError: the connection failed, or no answer came in time. ModbusRefused: the server says no.
    """

    def __init__(self, host: str, port: int, unit: int, timeout_s: float) -> None:
        self._connection = Connection(host, port, unit, timeout_s)

    def close(self) -> None:
        self._connection.close()

    def registers(self, table: str, address: int, count: int) -> bytes:
        """The bytes of `count` holding or input registers, big-endian."""
        return self._ask(FUNCTIONS[table], address, count, 2 * count)

    def bits(self, table: str, address: int, count: int) -> List[bool]:
        """That many coils or discrete inputs."""
        body = self._ask(FUNCTIONS[table], address, count, (count + 7) // 8)
        return [bool(body[n // 8] >> (n % 8) & 1) for n in range(count)]

    def _ask(self, function: int, address: int, count: int, size: int) -> bytes:
        body = self._connection.ask(struct.pack(">BHH", function, address, count))[1:]
        if body[0] != size or len(body) != size + 1:
            raise ConnectionError(f"an answer of {len(body)} bytes where {size + 1} belong")
        return body[1:]


class ModbusSource:
    """A row per reading, a frame per window of rows."""

    def __init__(
        self, stage: Modbus, stop: threading.Event, backoff: Optional[Backoff] = None
    ) -> None:
        self._stage, self._stop = stage, stop
        self._backoff = backoff or Backoff()
        self._windows = Windows(stage.count, stage.window, stage.hop)

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """Windows until the stop event."""
        maker = FrameMaker(f"modbus:{self._stage.host}")
        for content in following(
            lambda: self._contents(notices),
            stop=self._stop,
            notices=notices,
            backoff=self._backoff,
        ):
            yield maker.frame(content)

    def _contents(self, notices: Notices) -> Iterator[Optional[bytes]]:
        stage = self._stage
        self._windows.restart()
        try:
            client = ModbusClient(stage.host, stage.port, stage.unit, stage.timeout_s)
        except OSError as exc:
            raise SourceLost("unreachable", f"{stage.host}:{stage.port}: {exc}") from exc
        try:
            due = time.monotonic()
            while True:
                try:
                    yield self._windows.add(self._row(client))
                except FrameError as exc:
                    self._windows.restart()
                    notices.failed(exc.reason)
                    yield None  # so that a stop is seen
                due = max(due + stage.interval_s, time.monotonic() - stage.interval_s)
                self._stop.wait(max(0.0, due - time.monotonic()))
        except socket.timeout as exc:
            raise SourceLost(
                "timeout", f"{stage.host}: no answer in {stage.timeout_s:g} s"
            ) from exc
        except OSError as exc:
            raise SourceLost("connection", f"{stage.host}: {exc}") from exc
        finally:
            client.close()

    def _row(self, client: ModbusClient) -> List[float]:
        stage = self._stage
        try:
            if stage.table in ("coils", "discrete"):
                values = [float(b) for b in client.bits(stage.table, stage.address, stage.count)]
            else:
                words = WORDS[stage.type]
                body = client.registers(stage.table, stage.address, stage.count * words)
                values = values_of(body, stage.type, stage.word_order)
        except ModbusRefused as exc:
            if exc.code not in _REFUSED:
                raise SourceLost("refused", f"{stage.host}: {exc}") from exc
            log("warning", "capture_failed", name=stage.host, reason=str(exc))
            raise FrameError(f"{stage.table} {stage.address}: {exc}", "refused") from exc
        return [value * stage.scale + stage.offset for value in values]


def values_of(body: bytes, type_name: str, word_order: str) -> List[float]:
    """The numbers in registers; `word_order` little puts the low word of 32 bits first."""
    size = WORDS[type_name] * 2
    found = []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        if word_order == "little" and size == 4:
            part = part[2:] + part[:2]
        found.append(float(struct.unpack(_UNPACK[type_name], part)[0]))
    return found
