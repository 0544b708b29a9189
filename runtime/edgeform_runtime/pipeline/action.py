"""What a result does, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Union
from urllib.parse import urlsplit

from edgeform_runtime.modbus_tcp import MAX_VALUE, TARGETS
from edgeform_runtime.pipeline.bounds import among, at_least
from edgeform_runtime.pipeline.broker import Broker, broker_of
from edgeform_wire import artifact
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MAX_QUEUE = 1000
MAX_RETRIES = 20
MAX_UNIT = 255


@dataclass(frozen=True)
class Trigger:
    """When to act: the rule holds for `for_s`, and the last time was `cooldown_s` ago."""

    when: Optional[str]
    for_s: float
    cooldown_s: float


ALWAYS = Trigger(when=None, for_s=0.0, cooldown_s=0.0)


@dataclass(frozen=True)
class Delivery:
    """How hard to try where another machine must take the result."""

    timeout_s: float
    retries: int
    queue: int


@dataclass(frozen=True)
class StoreLocally:
    directory: str
    max_bytes: int
    max_age_s: float
    frames: str
    trigger: Trigger = ALWAYS


@dataclass(frozen=True)
class Webhook:
    url: str
    header: str
    secret: Optional[str]
    ca: Optional[str]
    delivery: Delivery
    trigger: Trigger


@dataclass(frozen=True)
class MqttPublish:
    topic: str
    broker: Broker
    qos: int
    retain: bool
    delivery: Delivery
    trigger: Trigger


@dataclass(frozen=True)
class ModbusWrite:
    host: str
    port: int
    unit: int
    target: str
    address: int
    value: int
    fail_safe: int
    hold_s: float
    delivery: Delivery
    trigger: Trigger


Action = Union[StoreLocally, Webhook, MqttPublish, ModbusWrite]


def _trigger(fields: Fields) -> Trigger:
    return Trigger(
        when=fields.optional_text("when"),
        for_s=at_least(fields.number("for_s", 0.0), 0.0, "for_s"),
        cooldown_s=at_least(fields.number("cooldown_s", 0.0), 0.0, "cooldown_s"),
    )


def _delivery(fields: Fields) -> Delivery:
    return Delivery(
        timeout_s=at_least(fields.number("timeout_s", 10.0), 0.001, "timeout_s"),
        retries=min(fields.integer("retries", 0, 3), MAX_RETRIES),
        queue=min(fields.integer("queue", 1, 32), MAX_QUEUE),
    )


def _store(fields: Fields) -> StoreLocally:
    directory = fields.text("directory", "results")
    artifact.check_paths((directory,))
    return StoreLocally(
        directory=directory,
        max_bytes=fields.integer("max_bytes", 4096, 64 * 1024 * 1024),
        max_age_s=at_least(fields.number("max_age_s", 7 * 86400.0), 0.0, "store.max_age_s"),
        frames=among(fields.text("frames", "none"), ("none", "encoded"), "store.frames"),
        trigger=_trigger(fields),
    )


def _webhook(fields: Fields) -> Webhook:
    url, header = fields.text("url"), fields.text("header", "Authorization")
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        raise WireError(f"webhook.url: {url!r:.200} is no http:// or https:// address")
    if parts.username is not None:
        raise WireError("webhook.url: a password does not belong into it; use `secret`")
    if not header.replace("-", "").isalnum() or not header.isascii():
        raise WireError(f"webhook.header: {header!r:.80} is no name of a header")
    return Webhook(
        url=url,
        header=header,
        secret=fields.optional_text("secret"),
        ca=fields.optional_text("ca"),
        delivery=_delivery(fields),
        trigger=_trigger(fields),
    )


def _mqtt(fields: Fields) -> MqttPublish:
    topic = fields.text("topic")
    if not topic or any(sign in topic for sign in "+#\0") or len(topic.encode()) > 1000:
        raise WireError(f"mqtt.topic: {topic!r:.200} is no topic to publish to")
    qos = fields.integer("qos", 0, 1)
    if qos > 1:
        raise WireError("mqtt.qos: 0 or 1")
    return MqttPublish(
        topic=topic,
        broker=broker_of(fields),
        qos=qos,
        retain=fields.boolean("retain", default=False),
        delivery=_delivery(fields),
        trigger=_trigger(fields),
    )


def _modbus_write(fields: Fields) -> ModbusWrite:
    found = ModbusWrite(
        host=fields.text("host"),
        port=fields.integer("port", 1, 502),
        unit=fields.integer("unit", 0, 1),
        target=among(fields.text("target", "coil"), TARGETS, "modbus_write.target"),
        address=fields.integer("address"),
        value=fields.integer("value", 0, 1),
        fail_safe=fields.integer("fail_safe", 0, 0),
        hold_s=at_least(fields.number("hold_s", 5.0), 0.001, "modbus_write.hold_s"),
        delivery=_delivery(fields),
        trigger=_trigger(fields),
    )
    largest = max(found.port, found.address, found.value, found.fail_safe)
    if largest > MAX_VALUE or found.unit > MAX_UNIT:
        raise WireError(f"modbus_write: {max(largest, found.unit)} is too large for its place")
    return found


OPERATORS: Dict[str, Callable[[Fields], Action]] = {
    "store": _store,
    "webhook": _webhook,
    "mqtt": _mqtt,
    "modbus_write": _modbus_write,
}
