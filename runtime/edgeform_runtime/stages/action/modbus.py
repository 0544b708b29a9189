"""Setting a coil or register while a rule holds, and its fail-safe value otherwise."""

from edgeform_runtime import modbus_tcp
from edgeform_runtime.guardian import modbus_fail_safe
from edgeform_runtime.modbus_tcp import Output
from edgeform_runtime.pipeline.action import ModbusWrite
from edgeform_runtime.stages.action.held import HeldSink


def modbus_sink(stage: ModbusWrite) -> HeldSink:
    output = Output(stage.host, stage.port, stage.unit, stage.target, stage.address)
    timeout_s = stage.delivery.timeout_s
    return HeldSink(
        "modbus_write",
        stage.hold_s,
        hold=lambda: modbus_tcp.write(output, stage.value, timeout_s),
        release=lambda: modbus_tcp.write(output, stage.fail_safe, timeout_s),
        fail_safes=lambda: [modbus_fail_safe(output, stage.fail_safe)],
    )
