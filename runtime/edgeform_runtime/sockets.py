"""Unix sockets at a path: bound without a gap, refused when somebody else still answers there."""

import os
import socket
from contextlib import contextmanager
from typing import Iterator

from edgeform_runtime.errors import PipelineInvalid

MAX_PATH_BYTES = 100  # sun_path holds 107; a prefix may stand deeper than that


def listen(path: str, mode: int, backlog: int = 16) -> socket.socket:
    """A listening stream socket at the path, with that mode from its first moment.

    Raises:
        PipelineInvalid: its directory is missing, or another process answers there.
    """
    if _answers(path):
        raise PipelineInvalid(f"another process answers at {path}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        before = os.umask(0o777 & ~mode)
        try:
            with _short(path) as address:
                sock.bind(address)
        finally:
            os.umask(before)
        sock.listen(backlog)
    except OSError as exc:
        sock.close()
        raise PipelineInvalid(f"cannot listen at {path}: {exc.strerror}") from exc
    return sock


def remove(path: str) -> None:
    """Remove a socket file; one that is gone already is as good."""
    try:
        os.unlink(path)
    except OSError:
        return


@contextmanager
def _short(path: str) -> Iterator[str]:
    """The path, or one through /proc that leads to the same place where it is too long."""
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        yield path
        return
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            with _short(path) as address:
                sock.connect(address)
        except OSError:
            return False
        return True
