"""The sink of an action stage: one line per operator, imported only where it is used."""

from typing import Any, Callable, Dict, Optional

from edgeform_runtime.pipeline.action import (
    Action,
    Delivery,
    Email,
    Gpio,
    ModbusWrite,
    MqttPublish,
    OpcUaWrite,
    StoreLocally,
    Webhook,
)
from edgeform_runtime.stages.contract import Place, Sink


def sink_of(stage: Action, place: Place, number: int = 0) -> Sink:
    """What carries the action out; `number` tells actions of one pipeline apart."""
    return _SINKS[type(stage)](stage, place, number)


def delivery_of(stage: Action) -> Optional[Delivery]:
    """How to deliver to another machine, on a lane of its own; None for what is done here and now."""
    return None if isinstance(stage, StoreLocally) else stage.delivery


def _store(stage: StoreLocally, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.store import (  # noqa: PLC0415 - only where it is used
        ResultStore,
    )

    del number
    return ResultStore(stage, place.prefix, place.pipeline)


def _webhook(stage: Webhook, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.webhook import (  # noqa: PLC0415 - only where it is used
        WebhookSink,
    )

    del number
    return WebhookSink(stage, place)


def _mqtt(stage: MqttPublish, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.publish import (  # noqa: PLC0415 - only where it is used
        MqttSink,
    )

    del number
    return MqttSink(stage, place)


def _modbus(stage: ModbusWrite, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.modbus import (  # noqa: PLC0415 - only where it is used
        modbus_sink,
    )

    del place, number
    return modbus_sink(stage)


def _gpio(stage: Gpio, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.gpio import GpioSink  # noqa: PLC0415 - only where it is used

    del place, number
    return GpioSink(stage)


def _opcua(stage: OpcUaWrite, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.opcua import (  # noqa: PLC0415 - only where it is used
        opcua_sink,
    )

    del number
    return opcua_sink(stage, place)


def _email(stage: Email, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.email import (  # noqa: PLC0415 - only where it is used
        EmailSink,
    )

    del number
    return EmailSink(stage, place)


_SINKS: Dict[type, Callable[[Any, Place, int], Sink]] = {
    StoreLocally: _store,
    Webhook: _webhook,
    MqttPublish: _mqtt,
    ModbusWrite: _modbus,
    Gpio: _gpio,
    OpcUaWrite: _opcua,
    Email: _email,
}
