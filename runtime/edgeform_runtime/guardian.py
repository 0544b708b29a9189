"""A small process that outlives the pipeline's and then sets outputs to their fail-safe values.

`python -m edgeform_runtime.guardian` reads one JSON line from standard input (the outputs with their values)
and waits for its end. The pipeline keeps the other end open as long as it lives: an orderly stop, a
crash, SIGKILL and the out-of-memory killer all close it. Standard library only, so that it stays small.

It cannot help against a power cut or a broken cable: where life or limb depend on an output, the
controller behind it needs a watchdog of its own.
"""

import json
import signal
import subprocess
import sys
import time
from typing import IO, Any, Dict, Sequence, Tuple

from edgeform_runtime import modbus_tcp
from edgeform_runtime.logs import log
from edgeform_runtime.modbus_tcp import Output
from edgeform_wire.fields import Fields

ATTEMPTS = 5
TIMEOUT_S = 2.0
PAUSE_S = 0.5


class Guard:
    """The pipeline's end: as long as this process lives and has not closed it, nothing happens."""

    def __init__(self, outputs: Sequence[Tuple[Output, int]]) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-s", "-m", "edgeform_runtime.guardian"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        line = json.dumps([{**vars(output), "value": value} for output, value in outputs])
        if self._process.stdin is None:
            raise AssertionError("a pipe was asked for")
        self._stream: IO[bytes] = self._process.stdin
        self._stream.write(line.encode() + b"\n")
        self._stream.flush()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self, timeout_s: float) -> None:
        """Set the fail-safe values now."""
        self._stream.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log("warning", "guardian_still_at_work", pid=self._process.pid)


def main(stream: IO[bytes]) -> int:
    """The exit code: 0 when every output took its value."""
    # systemd tells every process of a service to end; this one ends when its work is done.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = stream.readline()
    outputs = [_output(item) for item in json.loads(line)] if line else []
    while stream.read(4096):
        pass
    taken = [_set(output, value) for output, value in outputs]
    return 0 if all(taken) else 1


def _set(output: Output, value: int) -> bool:
    for attempt in range(ATTEMPTS):
        try:
            modbus_tcp.write(output, value, TIMEOUT_S)
        except OSError as exc:
            log("error", "fail_safe_not_set", host=output.host, reason=str(exc))
            time.sleep(PAUSE_S * (attempt + 1))
        else:
            log("info", "fail_safe_set", host=output.host, address=output.address, value=value)
            return True
    return False


def _output(item: Dict[str, Any]) -> Tuple[Output, int]:
    fields = Fields(item, "output")
    output = Output(
        host=fields.text("host"),
        port=fields.integer("port"),
        unit=fields.integer("unit"),
        target=fields.text("target"),
        address=fields.integer("address"),
    )
    return output, fields.integer("value")


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
