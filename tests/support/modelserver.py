"""A web server on loopback that answers as a test tells it to, and remembers who asked with what."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass
class Answer:
    """What is sent; `pieces` are sent one after the other, `pause_s` between them."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    pieces: Iterator[bytes] | None = None
    pause_s: float = 0.0
    has_length: bool = True


Route = Callable[[Request], Answer]


class ModelServer:
    """Routes by path; `files` are served with ETag and Range like any good server does."""

    def __init__(self, port: int):
        self.port = port
        self.routes: dict[str, Route] = {}
        self.files: dict[str, bytes] = {}
        self.seen: list[Request] = []
        self.before: Route | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Request) -> Answer:
        if self.before is not None and (first := self.before(request)) is not None:
            return first
        if request.path in self.routes:
            return self.routes[request.path](request)
        if request.path not in self.files:
            return Answer(status=404)
        return ranged(request, self.files[request.path])


def ranged(request: Request, content: bytes) -> Answer:
    """A file with a strong ETag, from where it is asked for."""
    etag = f'"{hash(content) & 0xFFFFFFFF:x}"'
    span = request.headers.get("range", "")
    if span and request.headers.get("if-range", etag) == etag:
        start = int(span.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return Answer(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
        extent = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(content[start:], 206, {"ETag": etag, "Content-Range": extent})
    return Answer(content, headers={"ETag": etag})


@contextmanager
def a_server(tls=None) -> Iterator[ModelServer]:
    """One server, ended with the block. `tls` is an ssl.SSLContext."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            parts = urlsplit(self.path)
            headers = {k.lower(): v for k, v in self.headers.items()}
            request = Request(self.command, parts.path, parse_qs(parts.query), headers)
            served.seen.append(request)
            found = served.answer(request)
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            length = len(found.body) if found.length is None else found.length
            if found.has_length:
                self.send_header("Content-Length", str(length))
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            if self.command == "HEAD":
                return
            try:
                for piece in found.pieces if found.pieces is not None else (found.body,):
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(found.pause_s)
            except OSError:
                pass  # whoever asked has had enough

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        served = ModelServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
