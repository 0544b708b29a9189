"""A runtime for tests of the judge: it speaks the control socket and answers as a test tells it to."""

import contextlib
import socket
import threading

from edgeform_wire import frames


class SocketRuntime:
    """Serves `answer(header, body) -> (header, body)` on a unix socket until it is closed."""

    def __init__(self, path, answer):
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        self._open = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection.makefile("rwb") as stream:
            while True:
                try:
                    found = frames.read(stream, 1 << 26)
                    if found is None:
                        return
                    header, body = self._answer(*found)
                    frames.write(stream, header, (body,), len(body))
                except (OSError, ValueError):
                    return

    def close(self):
        for opened in self._open:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
