"""The control socket: one frame per request, one per answer, in order (docs/reference/interfaces.md).

The device tool speaks here. What it gets are raw tensors and claims; the verdicts are its own.
"""

import socket
import threading
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, Tuple

from edgeform_runtime import sockets
from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.logs import log
from edgeform_wire import frames
from edgeform_wire.errors import WireError

MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_CONNECTIONS = 16
MODE = 0o600

Header = Dict[str, Any]
Operation = Callable[[Header, bytes], Tuple[Header, List[bytes]]]
"""Takes header and body, gives the answer's header (without `ok`) and body parts; raises RuntimeFault."""


class ControlServer:
    """Accepts connections on a thread of its own; each connection has a thread and is served in order."""

    def __init__(self, path: str, operations: Mapping[str, Operation]) -> None:
        self._path = path
        self._operations = operations
        self._listening = sockets.listen(path, MODE)
        self._open = threading.Semaphore(MAX_CONNECTIONS)
        self._is_closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        self._is_closed.set()
        try:
            self._listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listening.close()
        sockets.remove(self._path)

    def _accept(self) -> None:
        while not self._is_closed.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError as exc:
                if self._is_closed.wait(0.05):
                    return
                log("error", "control_accept_failed", reason=str(exc))
                continue
            if not self._open.acquire(blocking=False):
                with connection, connection.makefile("wb") as stream:
                    _refuse(stream, "busy", f"more than {MAX_CONNECTIONS} connections")
                continue
            threading.Thread(
                target=self._serve, args=(connection,), name="control-peer", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as requests:
                with connection.makefile("wb") as answers:
                    while self._answer_one(requests, answers):
                        pass
        except OSError:
            return  # the peer is gone; there is nobody to tell
        finally:
            self._open.release()

    def _answer_one(self, requests: BinaryIO, stream: BinaryIO) -> bool:
        """Answer the next request; False when the stream has ended or cannot be followed any more."""
        try:
            request = frames.read(requests, MAX_BODY_BYTES)
        except WireError as exc:
            _refuse(stream, "frame", str(exc))
            return False
        if request is None:
            return False
        header, body = request
        name = header.pop("op", None)
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            known = ", ".join(sorted(self._operations))
            _refuse(stream, "unknown_op", f"no operation {name!r:.40}; there are {known}")
            return True
        try:
            answer, parts = operation(header, body)
        except RuntimeFault as exc:
            _refuse(stream, exc.code, exc.summary)
        except WireError as exc:
            _refuse(stream, "request", str(exc))
        except Exception as exc:  # noqa: BLE001 - a request must not take the daemon down
            log("error", "control_failed", op=str(name), error=f"{type(exc).__name__}: {exc}")
            _refuse(stream, "internal", f"{type(exc).__name__}: {exc}")
        else:
            size = sum(len(part) for part in parts)
            frames.write(stream, dict(answer, ok=True), parts, size)
        return True


def _refuse(stream: BinaryIO, code: str, summary: str) -> None:
    frames.write(stream, {"ok": False, "error": {"code": code, "summary": summary}})
