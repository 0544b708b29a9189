"""A small process that outlives the pipeline's and then sets outputs to their fail-safe values.

`python -m edgeform_runtime.guardian` reads one JSON line from standard input (the outputs with their values)
and waits for its end. The pipeline keeps the other end open as long as it lives: an orderly stop, a
crash, SIGKILL and the out-of-memory killer all close it. It imports an OPC UA client only to write.

It cannot help against a power cut or a broken cable: where life or limb depend on an output, the
controller behind it needs a watchdog of its own.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, Sequence

from edgeform_runtime import modbus_tcp, opcua_client
from edgeform_runtime.logs import log
from edgeform_runtime.modbus_tcp import Output
from edgeform_runtime.opcua_client import Node
from edgeform_wire.fields import Fields

ATTEMPTS = 5
TIMEOUT_S = 2.0
OPC_UA_TIMEOUT_S = 8.0
"""Importing the client and a secure session take their time on a small device."""
PAUSE_S = 0.5


FailSafe = Dict[str, Any]
"""One output with its value, as `modbus_fail_safe` and `opcua_fail_safe` write it."""


def modbus_fail_safe(output: Output, value: int) -> FailSafe:
    return {"kind": "modbus", **vars(output), "value": value}


def opcua_fail_safe(node: Node, value: float) -> FailSafe:
    return {"kind": "opcua", **node.to_json(), "value": value}


class Guard:
    """The pipeline's end: as long as this process lives and has not closed it, nothing happens."""

    def __init__(self, outputs: Sequence[FailSafe]) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-s", "-m", "edgeform_runtime.guardian"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._process.stdin is None:
            raise AssertionError("a pipe was asked for")
        self._stream: IO[bytes] = self._process.stdin
        self._stream.write(json.dumps(list(outputs)).encode() + b"\n")
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
    taken = [_set(output) for output in outputs]
    return 0 if all(taken) else 1


@dataclass(frozen=True)
class _Output:
    """What to write, and its name in the log."""

    name: str
    value: float
    write: Callable[[], None]


def _set(output: _Output) -> bool:
    for attempt in range(ATTEMPTS):
        try:
            output.write()
        except OSError as exc:
            log("error", "fail_safe_not_set", output=output.name, reason=str(exc))
            time.sleep(PAUSE_S * (attempt + 1))
        else:
            log("info", "fail_safe_set", output=output.name, value=output.value)
            return True
    return False


def _output(item: FailSafe) -> _Output:
    fields = Fields(item, "output")
    if fields.choice("kind", ("modbus", "opcua")) == "opcua":
        node, number = opcua_client.node_of(fields), fields.number("value")
        return _Output(
            name=f"{node.url} {node.node}",
            value=number,
            write=lambda: opcua_client.write(node, number, OPC_UA_TIMEOUT_S),
        )
    output = Output(
        host=fields.text("host"),
        port=fields.integer("port"),
        unit=fields.integer("unit"),
        target=fields.text("target"),
        address=fields.integer("address"),
    )
    value = fields.integer("value")
    return _Output(
        name=f"{output.host} {output.target} {output.address}",
        value=value,
        write=lambda: modbus_tcp.write(output, value, TIMEOUT_S),
    )


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
