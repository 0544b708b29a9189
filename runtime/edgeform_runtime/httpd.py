"""A small HTTP/1.1 server on asyncio: enough for inference and metrics, strict about everything else.

No chunked requests, no compression, no upgrade: each is refused with a sentence. Limits on header and body
sizes, connections, bytes in flight and idle time are constants, so that a client cannot argue with them.
"""

import asyncio
import hmac
import json
import socket
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Awaitable, Callable, Dict, List, Optional, Set, Tuple
from urllib.parse import unquote

from edgeform_runtime.errors import RequestError
from edgeform_runtime.logs import log

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 64
MAX_CONNECTIONS = 64
MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024
IDLE_S = 75.0
RECEIVE_S = 20.0
LINGER_S = 2.0
LINGER_BYTES = 16 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024  # bodies of this size arrive without pausing the transport
_REASONS = {
    100: "Continue",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_ONCE = ("authorization", "content-length", "host", "transfer-encoding")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class Request:
    """Header names are in lower case; the path is decoded and without its query."""

    method: str
    path: str
    headers: Dict[str, str]
    body: bytes = b""
    keep_alive: bool = True


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Tuple[Tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Listening:
    """A listening socket; with a token every request on it must bring `Authorization: Bearer TOKEN`."""

    sock: socket.socket
    token: Optional[bytes] = field(default=None, repr=False)


def problem(status: int, text: str) -> Response:
    """An error as the Open Inference Protocol has it: `{"error": text}`."""
    return Response(status=status, body=json.dumps({"error": text}).encode())


class HttpServer:
    """Serves on listening sockets, in an event loop on a thread of its own."""

    def __init__(
        self,
        listening: List[Listening],
        handler: Handler,
        max_body: Callable[[Request], int],
    ) -> None:
        self._listening = listening
        self._handler = handler
        self._max_body = max_body
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._writers: Set[asyncio.StreamWriter] = set()
        self._bytes_in_flight = 0

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout_s)
        for listening in self._listening:
            listening.sock.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        servers = [
            self._loop.run_until_complete(
                asyncio.start_server(
                    partial(self._connected, one.token), sock=one.sock, limit=_BUFFER_BYTES
                )
            )
            for one in self._listening
        ]
        try:
            self._loop.run_forever()
        finally:
            for server in servers:
                server.close()
            for writer in tuple(self._writers):
                writer.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    async def _connected(
        self, token: Optional[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        try:
            if len(self._writers) > MAX_CONNECTIONS:
                text = f"more than {MAX_CONNECTIONS} connections"
                _write(writer, problem(503, text), keep_alive=False)
                return
            while await self._exchange(token, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return
        except asyncio.CancelledError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(
        self, token: Optional[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its answer; whether the connection stays open."""
        head = await self._head(reader, writer)
        taken = 0
        try:
            try:
                request = parse_head(head)
                if token is not None:
                    check_token(request, token)
                length = _length_of(request, self._max_body(request))
                if self._bytes_in_flight + length > MAX_BYTES_IN_FLIGHT:
                    raise RequestError("too many bytes in flight; try again later", 503)
                taken = length
                self._bytes_in_flight += taken
                if length:
                    request = await self._with_body(request, length, reader, writer)
            except RequestError as exc:
                # What follows on this connection cannot be told from the refused body.
                await self._refuse(reader, writer, problem(exc.status, exc.summary))
                return False
            response = await self._handled(request)
        finally:
            # Also when the client went away in the middle of its body.
            self._bytes_in_flight -= taken
        _write(writer, response, keep_alive=request.keep_alive)
        await writer.drain()
        return request.keep_alive

    async def _handled(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except RequestError as exc:
            return problem(exc.status, exc.summary)
        except Exception as exc:  # noqa: BLE001 - a request must not take the server down
            log("error", "http_failed", path=request.path, error=f"{type(exc).__name__}: {exc}")
            return problem(500, f"{type(exc).__name__}: {exc}")

    async def _head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        idle = self._loop.call_later(IDLE_S, writer.close)
        try:
            first = await reader.readexactly(1)
        finally:
            idle.cancel()
        with _Deadline(self._loop, writer):
            try:
                return first + await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                text = f"request head of more than {MAX_HEAD_BYTES} bytes"
                await self._refuse(reader, writer, problem(431, text))
                raise ConnectionAbortedError from None

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: Response
    ) -> None:
        """Answer, and take what the client is still sending: a reset would cost it the answer."""
        _write(writer, response, keep_alive=False)
        await writer.drain()
        writer.write_eof()
        end = self._loop.call_later(LINGER_S, writer.close)
        try:
            left = LINGER_BYTES
            while left > 0:
                part = await reader.read(_BUFFER_BYTES)
                if not part:
                    return
                left -= len(part)
        finally:
            end.cancel()

    async def _with_body(
        self,
        request: Request,
        length: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Request:
        if request.headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        with _Deadline(self._loop, writer):
            body = await reader.readexactly(length)
        return Request(request.method, request.path, request.headers, body, request.keep_alive)


class _Deadline:
    """Answers 408 and closes when a request does not arrive in time; cheaper than `asyncio.wait_for`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter) -> None:
        self._loop, self._writer = loop, writer
        self._handle: Optional[asyncio.TimerHandle] = None

    def __enter__(self) -> None:
        self._handle = self._loop.call_later(RECEIVE_S, self._expire)

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _expire(self) -> None:
        text = f"the request did not arrive within {RECEIVE_S:g} s"
        _write(self._writer, problem(408, text), keep_alive=False)
        self._writer.close()


def parse_head(head: bytes) -> Request:
    """The request of everything up to and including the empty line.

    Raises:
        RequestError: anything that is not plain HTTP/1.1 or 1.0.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise RequestError(f"request head of more than {MAX_HEAD_BYTES} bytes", 431)
    lines = head[:-4].decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[0] or not set(parts[0]) <= _TOKEN:
        raise RequestError("the first line is no HTTP request")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise RequestError("HTTP/1.1 is spoken here", 505)
    if not target.startswith("/"):
        raise RequestError("the request target is no path")
    headers = _headers(lines[1:])
    if "transfer-encoding" in headers:
        raise RequestError("send a Content-Length instead of chunks", 411)
    wish = headers.get("connection", "").lower()
    keep_alive = wish != "close" if version == "HTTP/1.1" else wish == "keep-alive"
    path = unquote(target.partition("?")[0], errors="replace")
    return Request(method=method, path=path, headers=headers, keep_alive=keep_alive)


def check_token(request: Request, token: bytes) -> None:
    """Nothing, when the request brings the token.

    Raises:
        RequestError: it brings none, or another one; nothing says how near that was.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode("latin-1"), token)
    if scheme.lower() != "bearer" or not is_right:
        raise RequestError("this server asks for a token: Authorization: Bearer TOKEN", 401)


def _headers(lines: List[str]) -> Dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise RequestError(f"more than {MAX_HEADERS} headers", 431)
    headers: Dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        lowered = name.lower()
        if not colon or not name or not set(name) <= _TOKEN:
            raise RequestError("a header line is malformed")
        if lowered in headers and lowered in _ONCE:
            raise RequestError(f"header {lowered} stands there twice")
        headers[lowered] = value.strip()
    return headers


def _length_of(request: Request, limit: int) -> int:
    text = request.headers.get("content-length")
    if text is None:
        if request.method in ("POST", "PUT", "PATCH"):
            raise RequestError("a Content-Length is needed", 411)
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise RequestError("Content-Length is no number")
    length = int(text)
    if length > limit:
        raise RequestError(f"a body of {length} bytes, more than {limit}", 413)
    if length and request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError("compressed requests are not taken", 415)
    return length


def _write(writer: asyncio.StreamWriter, response: Response, *, keep_alive: bool) -> None:
    reason = _REASONS.get(response.status, "Unknown")
    lines = [
        f"HTTP/1.1 {response.status} {reason}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if response.status == 401:
        lines.append("WWW-Authenticate: Bearer")
    if not keep_alive:
        lines.append("Connection: close")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + response.body)
