"""The sink of an action stage: one line per operator, imported only where it is used."""

from typing import Any, Callable, Dict, Optional

from edgeform_runtime.pipeline.action import (
    Action,
    Delivery,
    ModbusWrite,
    MqttPublish,
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

    return MqttSink(stage, place, number)


def _modbus(stage: ModbusWrite, place: Place, number: int) -> Sink:
    from edgeform_runtime.stages.action.modbus import (  # noqa: PLC0415 - only where it is used
        ModbusSink,
    )

    del place, number
    return ModbusSink(stage)


_SINKS: Dict[type, Callable[[Any, Place, int], Sink]] = {
    StoreLocally: _store,
    Webhook: _webhook,
    MqttPublish: _mqtt,
    ModbusWrite: _modbus,
}
