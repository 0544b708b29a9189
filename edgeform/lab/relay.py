"""A line between two sockets that misbehaves as asked: late, cut at a byte, or silent from one on."""

import asyncio
import contextlib
import socket
import struct
from typing import Self

from edgeform.lab.faults import Fault

CHUNK_BYTES = 65536
IN_FLIGHT_CHUNKS = 256


def reset(connection: socket.socket) -> None:
    """End a connection as a crash does: with a reset, without a farewell."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes whoever reads from it; close alone would leave the kernel's end open meanwhile.
        connection.shutdown(socket.SHUT_RD)
    connection.close()


class Relay:
    """Carries bytes between a client and a server, both non-blocking sockets, until one closes."""

    def __init__(self, client: socket.socket, server: socket.socket, fault: Fault) -> None:
        self._client = client
        self._server = server
        self._fault = fault
        self._received = 0

    @property
    def _is_cut(self) -> bool:
        return 0 <= self._fault.cut_after_bytes <= self._received

    @property
    def _is_stalled(self) -> bool:
        return 0 <= self._fault.stall_after_bytes <= self._received

    async def run(self) -> None:
        """Return when the line is down; after a cut, the client has been reset."""
        ways = [asyncio.create_task(self._upwards()), asyncio.create_task(self._downwards())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if self._is_cut:
            reset(self._client)

    async def _upwards(self) -> None:
        async with _Late(self._server, self._fault.delay_s) as late:
            loop = asyncio.get_running_loop()
            while chunk := await loop.sock_recv(self._client, CHUNK_BYTES):
                # Exactly so many bytes arrive as the fault says.
                await late.send(chunk[: self._room(len(chunk))])
                self._received += len(chunk)
                if self._is_cut:
                    return

    async def _downwards(self) -> None:
        async with _Late(self._client, self._fault.delay_s) as late:
            loop = asyncio.get_running_loop()
            while chunk := await loop.sock_recv(self._server, CHUNK_BYTES):
                if not self._is_stalled:
                    await late.send(chunk)

    def _room(self, wanted: int) -> int:
        limits = (self._fault.stall_after_bytes, self._fault.cut_after_bytes)
        return min([wanted, *(max(0, at - self._received) for at in limits if at >= 0)])


class _Late:
    """Sends what it is given, each piece `delay_s` later, in order; all of it before it is left."""

    def __init__(self, target: socket.socket, delay_s: float) -> None:
        self._target = target
        self._delay_s = delay_s
        # Bounded, so that a slow line pushes back as a real one does.
        self._line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT_CHUNKS)
        self._carrier: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._carrier = asyncio.create_task(self._carry())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._carrier is None:
            raise AssertionError
        if kind is None:
            await self.send(b"")
            await self._carrier
        self._carrier.cancel()
        await asyncio.gather(self._carrier, return_exceptions=True)

    async def send(self, chunk: bytes) -> None:
        await self._line.put((asyncio.get_running_loop().time() + self._delay_s, chunk))

    async def _carry(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await self._line.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                return
            await loop.sock_sendall(self._target, chunk)
