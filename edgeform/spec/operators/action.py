"""Action operators out of proven values."""

from collections.abc import Callable
from typing import TypedDict

from edgeform.domain.stages.action import (
    Action,
    Email,
    Gpio,
    ModbusWrite,
    MqttPublish,
    OpcUaWrite,
    StoreLocally,
    Webhook,
)
from edgeform.spec.fields import (
    Mapping,
    block,
    boolean_or,
    integer_or,
    number_or,
    size_or,
    text,
    text_or,
    texts,
)
from edgeform.spec.operators.broker import broker


class _Triggered(TypedDict):
    when: str | None
    for_s: float
    cooldown_s: float


class _Remote(_Triggered):
    timeout_s: float
    retries: int
    queue: int


def _triggered(spec: Mapping) -> _Triggered:
    return {
        "when": text(spec, "when"),
        "for_s": number_or(spec, "for_s", 0.0),
        "cooldown_s": number_or(spec, "cooldown_s", 0.0),
    }


def _remote(spec: Mapping) -> _Remote:
    return {
        "timeout_s": number_or(spec, "timeout_s", 10.0),
        "retries": integer_or(spec, "retries", 3),
        "queue": integer_or(spec, "queue", 32),
        **_triggered(spec),
    }


def _store(spec: Mapping) -> StoreLocally:
    return StoreLocally(
        directory=text_or(spec, "directory", "results"),
        max_bytes=size_or(spec, "max_bytes", 64 * 1024 * 1024),
        max_age_s=number_or(spec, "max_age_s", 7 * 86400.0),
        frames=text_or(spec, "frames", "none"),
        **_triggered(spec),
    )


def _webhook(spec: Mapping) -> Webhook:
    return Webhook(
        url=text_or(spec, "url", ""),
        header=text_or(spec, "header", "Authorization"),
        secret=text(spec, "secret"),
        ca=text(spec, "ca"),
        **_remote(spec),
    )


def _mqtt(spec: Mapping) -> MqttPublish:
    return MqttPublish(
        topic=text_or(spec, "topic", ""),
        broker=broker(block(spec, "broker")),
        qos=integer_or(spec, "qos", 1),
        retain=boolean_or(spec, "retain", default=False),
        **_remote(spec),
    )


def _modbus_write(spec: Mapping) -> ModbusWrite:
    return ModbusWrite(
        host=text_or(spec, "host", ""),
        port=integer_or(spec, "port", 502),
        unit=integer_or(spec, "unit", 1),
        target=text_or(spec, "target", "coil"),
        address=integer_or(spec, "address", 0),
        value=integer_or(spec, "value", 1),
        fail_safe=integer_or(spec, "fail_safe", 0),
        hold_s=number_or(spec, "hold_s", 5.0),
        **_remote(spec),
    )


def _gpio(spec: Mapping) -> Gpio:
    return Gpio(
        chip=text_or(spec, "chip", ""),
        line=integer_or(spec, "line", 0),
        value=integer_or(spec, "value", 1),
        fail_safe=integer_or(spec, "fail_safe", 0),
        active_low=boolean_or(spec, "active_low", default=False),
        hold_s=number_or(spec, "hold_s", 5.0),
        **_remote(spec),
    )


def _opcua_write(spec: Mapping) -> OpcUaWrite:
    return OpcUaWrite(
        url=text_or(spec, "url", ""),
        node=text_or(spec, "node", ""),
        value=number_or(spec, "value", 1.0),
        fail_safe=number_or(spec, "fail_safe", 0.0),
        security=text_or(spec, "security", "sign_and_encrypt"),
        certificate=text(spec, "certificate"),
        key=text(spec, "key"),
        server_certificate=text(spec, "server_certificate"),
        username=text(spec, "username"),
        password=text(spec, "password"),
        hold_s=number_or(spec, "hold_s", 5.0),
        **_remote(spec),
    )


def _email(spec: Mapping) -> Email:
    return Email(
        host=text_or(spec, "host", ""),
        port=integer_or(spec, "port", 587),
        security=text_or(spec, "security", "starttls"),
        ca=text(spec, "ca"),
        username=text(spec, "username"),
        password=text(spec, "password"),
        sender=text_or(spec, "sender", ""),
        to=texts(spec, "to"),
        subject=text(spec, "subject"),
        **_remote(spec),
    )


OPERATORS: dict[str, Callable[[Mapping], Action]] = {
    "store": _store,
    "webhook": _webhook,
    "mqtt": _mqtt,
    "modbus_write": _modbus_write,
    "gpio": _gpio,
    "opcua_write": _opcua_write,
    "email": _email,
}
