"""Driving a GPIO line while a rule holds; a process of its own holds the line, also when this one is gone."""

import json
import select
import subprocess
import sys
import time
from typing import IO, Optional

from edgeform_runtime.frames import Inferred
from edgeform_runtime.pipeline.action import Gpio
from edgeform_runtime.stages.action.packages import needs

CLOSE_S = 2.0


class GpioSink:
    """Sets `value`, holds it for `hold_s` after the last result, then `fail_safe`.

    Raises:
        PipelineInvalid: gpiod is not in the closure.
    """

    kind = "gpio"

    def __init__(self, stage: Gpio) -> None:
        needs("gpio", "gpiod")
        self._stage = stage
        self._holder: Optional[subprocess.Popen[bytes]] = None
        self._until: Optional[float] = None

    def write(self, inferred: Inferred) -> None:
        """Raises OSError when the kernel does not give the line or the level."""
        del inferred
        if self._holder is None or self._holder.poll() is not None:
            self._hold()
        self._until = time.monotonic() + self._stage.hold_s
        self._set(self._stage.value)

    def idle(self) -> None:
        """Let go when the time is over; raises OSError, and is asked again."""
        if self._until is not None and time.monotonic() >= self._until:
            self._set(self._stage.fail_safe)
            self._until = None

    def close(self) -> None:
        """The holder sets the fail-safe level and goes on holding it, until the next pipeline asks."""
        holder = self._holder
        if holder is not None and holder.stdin is not None:
            holder.stdin.close()
            self._holder = None

    def _hold(self) -> None:
        stage = self._stage
        asked = {
            "chip": stage.chip,
            "line": stage.line,
            "fail_safe": stage.fail_safe,
            "active_low": stage.active_low,
        }
        self._holder = subprocess.Popen(
            (sys.executable, "-s", "-m", "edgeform_runtime.gpio_line"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._ask(json.dumps(asked).encode())

    def _set(self, level: int) -> None:
        self._ask(b"%d" % level)

    def _ask(self, line: bytes) -> None:
        holder = self._holder
        if holder is None or holder.stdin is None or holder.stdout is None:
            raise OSError("nobody holds the line")
        holder.stdin.write(line + b"\n")
        holder.stdin.flush()
        said = _answer(holder.stdout, self._stage.delivery.timeout_s)
        if said != "ok":
            self.close()
            raise OSError(f"{self._stage.chip} line {self._stage.line}: {said}")


def _answer(stream: IO[bytes], timeout_s: float) -> str:
    ready, _, _ = select.select([stream], [], [], timeout_s)
    if not ready:
        return f"no answer within {timeout_s:g} s"
    return stream.readline().decode("utf-8", "replace").strip() or "the process that holds it ended"
