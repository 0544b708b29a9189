"""One listening server until somebody asks it to end: SIGTERM and Ctrl-C finish what is being sent."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from edgeform.errors import UsageError

FINISH_S = 5
MOST_CONNECTIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files of PEM: the certificate with its chain, and its key."""

    certificate: str
    key: str


def bound(address: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        UsageError: the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(place)
            made.listen()  # before anybody is told the address
        except OSError:
            made.close()
            raise
    except OSError as exc:
        raise UsageError(
            f"Nothing can listen at {address}, port {port}: {exc.strerror or exc}.",
            hint="Take another port, or 0 for any that is free:\n    edgeform serve --port 0",
        ) from exc
    return made


class Ending:
    """The wish to end, of a person, of systemd, or of a thread that failed."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        self._asked.set()

    def wait(self, serving: threading.Thread) -> None:
        while serving.is_alive() and not self._asked.wait(0.5):
            continue


@contextmanager
def listening(
    app: ASGIApp, place: socket.socket, *, tls: Tls | None, end: Ending
) -> Iterator[Callable[[], None]]:
    """A server that answers inside the block; yields what waits for SIGTERM, SIGINT or `end`.

    What is being sent when the block is left gets a few seconds.

    Raises:
        UsageError: the certificate cannot be used.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        http="h11",
        ws="none",
        loop="asyncio",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=FINISH_S,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        config.load()
    except OSError as exc:  # ssl.SSLError is one
        raise UsageError(f"The certificate or its key cannot be used: {exc}") from exc
    server = uvicorn.Server(config)

    def ask(_number: int, _frame: FrameType | None) -> None:
        end.ask()

    # In a thread of its own uvicorn leaves signals alone; it would end this process by the signal otherwise.
    serving = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    before = {n: signal.signal(n, ask) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        serving.start()
        yield lambda: end.wait(serving)
    finally:
        server.should_exit = True
        serving.join(FINISH_S + 2)
        for number, handler in before.items():
            signal.signal(number, handler)
