"""Unix sockets at a path: bound without a gap, refused when somebody else still answers there."""

import os
import socket

from edgeform_runtime.errors import PipelineInvalid

MAX_PATH_BYTES = 107  # sun_path on Linux, less its terminating zero


def listen(path: str, mode: int, backlog: int = 16) -> socket.socket:
    """A listening stream socket at the path, with that mode from its first moment.

    Raises:
        PipelineInvalid: the path is too long, its directory is missing, or another process answers there.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise PipelineInvalid(
            f"socket path of {len(path)} characters; {MAX_PATH_BYTES} are possible"
        )
    if _answers(path):
        raise PipelineInvalid(f"another process answers at {path}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(backlog)
    except OSError as exc:
        sock.close()
        raise PipelineInvalid(f"cannot listen at {path}: {exc.strerror}") from exc
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(path)
        except OSError:
            return False
        return True


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
