"""One command, three streams, one deadline: the same for an SSH channel and for a local process.

Everything blocking has its own thread (a greenlet in the worker, which is patched), so a device that
answers before it has read everything, closes stdin early or says nothing at all never stops us. The
deadline cuts the wire from outside: a timeout raised inside a blocked call is not reliable.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from edgeform.transport.base import FilePart, Finished, Piece
from edgeform.transport.commandline import PROMPT, READY

MAX_STDOUT_BYTES = 16 * 1024 * 1024
MAX_STDERR_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024

NO_EXIT_STATUS = 255
"""Exit code of a command that ended without one (killed by a signal, seen through SSH)."""


class Wire(Protocol):
    """A started command's three streams."""

    def start(self) -> None:
        """Begin; may block until the other side has accepted."""

    def send(self, chunk: bytes) -> None:
        """Write all of it to stdin; OSError once the other side reads no more."""

    def close_stdin(self) -> None: ...

    def read(self) -> bytes:
        """Some stdout, empty at its end."""

    def read_stderr(self) -> bytes:
        """Some stderr, empty at its end."""

    def exit_code(self) -> int | None:
        """Waits for it; None when the wire ended before the command did."""

    def cut(self) -> None:
        """End everything from another thread: every blocked call above returns or raises OSError."""

    def close(self) -> None:
        """The command has ended: whoever is still sending is woken with OSError."""


class WireBroken(Exception):
    """The connection ended before the command did."""


class TimedOut(Exception):
    """The deadline passed; the wire was cut."""


class SudoRefused(Exception):
    """sudo did not start the command; says what sudo said."""


class TooMuchOutput(Exception):
    """The command wrote more than MAX_STDOUT_BYTES."""


class SourceChanged(Exception):
    """A file that is being sent is shorter than it was announced to be."""


@dataclass(slots=True, kw_only=True)
class _Talk:
    """What the threads of one conversation share."""

    wire: Wire
    sudo_password: str | None
    may_send: threading.Event = field(default_factory=threading.Event)
    ended: bool = False
    timed_out: bool = False
    source_error: str = ""
    stderr: bytearray = field(default_factory=bytearray)
    sudo_said: str | None = None


def converse(
    wire: Wire,
    *,
    stdin: tuple[Piece, ...],
    timeout_s: float,
    sudo_password: str | None = None,
) -> Finished:
    """What the command answered.

    Args:
        sudo_password: given if the command line was made by `with_sudo(asks_password=True)`.

    Raises:
        TimedOut, WireBroken, SudoRefused, TooMuchOutput, SourceChanged: see there.
    """
    talk = _Talk(wire=wire, sudo_password=sudo_password)
    watchdog = threading.Timer(timeout_s, _bite, (talk,))
    watchdog.daemon = True
    watchdog.start()
    try:
        return _converse(talk, stdin, timeout_s)
    finally:
        watchdog.cancel()
        talk.ended = True
        talk.may_send.set()


def pieces_in_chunks(stdin: tuple[Piece, ...]) -> Iterator[bytes]:
    """What is to be sent, in the order given, never a whole file at once.

    Raises:
        SourceChanged: a file ends before its part does, or cannot be opened.
    """
    for piece in stdin:
        if isinstance(piece, FilePart):
            yield from _file_chunks(piece)
        else:
            view = memoryview(piece)
            for start in range(0, len(view), CHUNK_BYTES):
                yield bytes(view[start : start + CHUNK_BYTES])


def _converse(talk: _Talk, stdin: tuple[Piece, ...], timeout_s: float) -> Finished:
    wire = talk.wire
    try:
        wire.start()
    except Exception as exc:
        if talk.timed_out:
            raise TimedOut(f"no answer within {timeout_s:g} s") from exc
        raise
    if talk.sudo_password is None:
        talk.may_send.set()
    writer = threading.Thread(target=_write, args=(talk, stdin), daemon=True)
    listener = threading.Thread(target=_listen, args=(talk,), daemon=True)
    writer.start()
    listener.start()
    stdout, overflow = _collect(wire)
    listener.join()
    exit_code = None if overflow else wire.exit_code()
    if exit_code is not None:
        wire.close()
    writer.join()
    if exit_code is None or talk.source_error or talk.sudo_said is not None:
        raise _why_failed(talk, exit_code, overflow=overflow, timeout_s=timeout_s)
    return Finished(exit_code=exit_code, stdout=stdout, stderr=bytes(talk.stderr))


def _collect(wire: Wire) -> tuple[bytes, bool]:
    """All of stdout, and whether it was too much; then the wire is cut."""
    stdout = bytearray()
    while chunk := _quiet(wire.read):
        stdout += chunk
        if len(stdout) > MAX_STDOUT_BYTES:
            wire.cut()
            return b"", True
    return bytes(stdout), False


def _why_failed(
    talk: _Talk, exit_code: int | None, *, overflow: bool, timeout_s: float
) -> Exception:
    if talk.timed_out and exit_code is None:
        return TimedOut(f"no answer within {timeout_s:g} s")
    if talk.source_error:
        return SourceChanged(talk.source_error)
    if overflow:
        return TooMuchOutput(f"the command wrote more than {MAX_STDOUT_BYTES} bytes")
    if talk.sudo_said is not None and exit_code is not None:
        return SudoRefused(talk.sudo_said)
    return WireBroken("the connection ended before the command did")


def _bite(talk: _Talk) -> None:
    if not talk.ended:
        talk.timed_out = True
        talk.wire.cut()


def _write(talk: _Talk, stdin: tuple[Piece, ...]) -> None:
    talk.may_send.wait()
    try:
        if not talk.ended and talk.sudo_said is None:
            for chunk in pieces_in_chunks(stdin):
                talk.wire.send(chunk)
    except SourceChanged as exc:
        talk.source_error = str(exc)
        talk.wire.cut()
    except OSError:
        pass  # the other side reads no more; what it answers decides
    _close_stdin(talk.wire)


def _close_stdin(wire: Wire) -> None:
    with contextlib.suppress(OSError):
        wire.close_stdin()


def _listen(talk: _Talk) -> None:
    if talk.sudo_password is not None:
        talk.sudo_said = _answer_sudo(talk, talk.sudo_password)
        talk.may_send.set()
    while chunk := _quiet(talk.wire.read_stderr):
        talk.stderr += chunk
        if len(talk.stderr) > MAX_STDERR_BYTES:
            del talk.stderr[:-MAX_STDERR_BYTES]


def _answer_sudo(talk: _Talk, password: str) -> str | None:
    """Give the password if sudo asks; None once the command runs, else what sudo said."""
    heard = b""
    is_given = False
    while chunk := _quiet(talk.wire.read_stderr):
        heard += chunk
        if READY.encode() in heard:
            talk.stderr += heard.split(READY.encode(), 1)[1]
            return None
        while PROMPT.encode() in heard:
            heard = heard.replace(PROMPT.encode(), b"", 1)
            if is_given:
                _close_stdin(
                    talk.wire
                )  # a second prompt: the password is wrong, and so it would stay
            else:
                is_given = True
                try:
                    talk.wire.send(password.encode() + b"\n")
                except OSError:
                    break
        if len(heard) > MAX_STDERR_BYTES:
            break
    said = " ".join(heard.decode("utf-8", "replace").split())
    return said.replace(password, "***") if password else said


def _quiet(read: "Reader") -> bytes:
    try:
        return read()
    except OSError:
        return b""


class Reader(Protocol):
    def __call__(self) -> bytes: ...


def _file_chunks(part: FilePart) -> Iterator[bytes]:
    try:
        with part.path.open("rb") as source:
            source.seek(part.offset)
            left = part.length
            while left:
                chunk = source.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise SourceChanged(f"{part.path} ended {left} bytes before its part did")
                left -= len(chunk)
                yield chunk
    except OSError as exc:
        # Only opening and reading are inside: what the wire raises is raised in the caller's loop.
        raise SourceChanged(f"{part.path} cannot be read: {exc.strerror}") from exc
