"""A small process that owns a GPIO line as long as the pipeline lives, and holds its fail-safe level after.

`python -m edgeform_runtime.gpio_line` reads one JSON line (chip, line, fail_safe, active_low), answers `ok`
or why not, then takes lines of `0` or `1` and answers each. When its standard input ends, in whatever way the
pipeline ended, it sets the fail-safe level and goes on holding the line: the kernel promises nothing about a
line that nobody holds. It lets go when it is told to end (systemd stops the service), or when the next
pipeline's holder asks.

Sources: libgpiod's Python binding, version 2 (`request_lines`, `LineSettings`, `LineRequest.set_value`),
https://libgpiod.readthedocs.io/en/latest/python_api.html; Linux, userspace-api/gpio/chardev.rst.
"""

import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from types import FrameType
from typing import IO, Any, Iterator, Optional

from edgeform_runtime.logs import log
from edgeform_wire.fields import Fields

CONSUMER = "edgeform"
ATTEMPTS = 20
PAUSE_S = 0.1
POLL_S = 0.2


class Line:
    """A requested line. Raises OSError where the kernel does not give it."""

    def __init__(self, chip: str, line: int, level: int, *, active_low: bool) -> None:
        import gpiod  # noqa: PLC0415 - only a closure of the stage extra gpio has it
        from gpiod.line import Direction, Value  # noqa: PLC0415 - likewise

        self._line, self._values = line, (Value.INACTIVE, Value.ACTIVE)
        settings = gpiod.LineSettings(
            direction=Direction.OUTPUT, active_low=active_low, output_value=self._values[level]
        )
        self._request: Any = gpiod.request_lines(chip, consumer=CONSUMER, config={line: settings})

    def set(self, level: int) -> None:
        self._request.set_value(self._line, self._values[level])

    def release(self) -> None:
        self._request.release()


def main(stream: IO[bytes], answers: IO[bytes]) -> int:
    """The exit code: 0 when the line was let go at its fail-safe level."""
    asked = _Asked()
    fields = Fields(json.loads(stream.readline()), "gpio")
    chip, number, fail_safe = (
        fields.text("chip"),
        fields.integer("line"),
        fields.integer("fail_safe"),
    )
    is_low = fields.boolean("active_low")
    try:
        line = _requested(chip, number, fail_safe, active_low=is_low)
    except OSError as exc:
        _answer(answers, exc.strerror or str(exc))
        return 1
    _answer(answers, "ok")
    for word in iter(stream.readline, b""):
        try:
            line.set(int(word.strip() == b"1"))
        except OSError as exc:
            _answer(answers, exc.strerror or str(exc))
        else:
            _answer(answers, "ok")
    line.set(fail_safe)
    log("info", "fail_safe_set", host=chip, address=number, value=fail_safe)
    with _door(chip, number) as door:
        while not asked.to_end:
            ready, _, _ = select.select([door], [], [], POLL_S)
            if ready:
                break
        line.release()
    return 0


def _requested(chip: str, number: int, level: int, *, active_low: bool) -> Line:
    """The line; one that an earlier pipeline's holder still has is asked for."""
    for attempt in range(ATTEMPTS):
        try:
            return Line(chip, number, level, active_low=active_low)
        except OSError as exc:
            if exc.errno != errno.EBUSY or attempt == ATTEMPTS - 1:
                raise
            _knock(chip, number)
            time.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


def _address(chip: str, number: int) -> str:
    # Abstract: it goes with the process, and holds the user's number, who alone may connect to any effect.
    return f"\0edgeform-gpio-{os.getuid()}-{chip}-{number}"


def _knock(chip: str, number: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, contextlib.suppress(OSError):
        sock.connect(_address(chip, number))


@contextlib.contextmanager
def _door(chip: str, number: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        with contextlib.suppress(OSError):  # without a door it holds until it is told to end
            door.bind(_address(chip, number))
            door.listen(1)
        yield door


class _Asked:
    """Whether somebody told this process to end; it does so only once the pipeline has."""

    def __init__(self) -> None:
        self.to_end = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        del number, frame
        self.to_end = True


def _answer(answers: IO[bytes], text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        answers.write(text.encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
