"""Setting a coil or register while a rule holds, and its fail-safe value otherwise."""

import time
from typing import Optional

from edgeform_runtime import modbus_tcp
from edgeform_runtime.frames import Inferred
from edgeform_runtime.guardian import Guard
from edgeform_runtime.modbus_tcp import Output
from edgeform_runtime.pipeline.action import ModbusWrite

CLOSE_S = 2.0


class ModbusSink:
    """Writes `value`, holds it for `hold_s` after the last result, then writes `fail_safe`.

    When this process ends, however, the guardian writes `fail_safe`.
    """

    kind = "modbus_write"

    def __init__(self, stage: ModbusWrite) -> None:
        self._stage = stage
        self._output = Output(stage.host, stage.port, stage.unit, stage.target, stage.address)
        self._guard: Optional[Guard] = None
        self._until: Optional[float] = None

    def write(self, inferred: Inferred) -> None:
        """Raises OSError when the server does not take the value."""
        del inferred
        if self._guard is None or not self._guard.is_alive:
            self._guard = Guard([(self._output, self._stage.fail_safe)])
        self._until = time.monotonic() + self._stage.hold_s
        modbus_tcp.write(self._output, self._stage.value, self._stage.delivery.timeout_s)

    def idle(self) -> None:
        """Let go when the time is over; raises OSError, and is asked again."""
        if self._until is not None and time.monotonic() >= self._until:
            modbus_tcp.write(self._output, self._stage.fail_safe, self._stage.delivery.timeout_s)
            self._until = None

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close(CLOSE_S)
