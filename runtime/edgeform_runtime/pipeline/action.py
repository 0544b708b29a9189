"""What a result does, as values: one dataclass and one reader per operator."""

import re
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple, Union
from urllib.parse import urlsplit

from edgeform_runtime.modbus_tcp import MAX_VALUE, TARGETS
from edgeform_runtime.pipeline.bounds import among, at_least, at_most
from edgeform_runtime.pipeline.broker import MAX_PORT, Broker, broker_of
from edgeform_wire import artifact
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MAX_QUEUE = 1000
MAX_RETRIES = 20
MAX_UNIT = 255
MAX_GPIO_LINE = 4095
OPC_UA_SECURITY = ("none", "sign", "sign_and_encrypt")
MAIL_SECURITY = ("starttls", "tls", "none")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")


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


@dataclass(frozen=True)
class Gpio:
    chip: str
    line: int
    value: int
    fail_safe: int
    active_low: bool
    hold_s: float
    delivery: Delivery
    trigger: Trigger


@dataclass(frozen=True)
class OpcUaWrite:
    url: str
    node: str
    value: float
    fail_safe: float
    security: str
    certificate: Optional[str]
    key: Optional[str]
    server_certificate: Optional[str]
    username: Optional[str]
    password: Optional[str]
    hold_s: float
    delivery: Delivery
    trigger: Trigger


@dataclass(frozen=True)
class Email:
    host: str
    port: int
    security: str
    ca: Optional[str]
    username: Optional[str]
    password: Optional[str]
    sender: str
    to: Tuple[str, ...]
    subject: Optional[str]
    delivery: Delivery
    trigger: Trigger


Action = Union[StoreLocally, Webhook, MqttPublish, ModbusWrite, Gpio, OpcUaWrite, Email]


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


def _gpio(fields: Fields) -> Gpio:
    found = Gpio(
        chip=fields.text("chip"),
        line=at_most(fields.integer("line"), MAX_GPIO_LINE, "gpio.line"),
        value=at_most(fields.integer("value", 0, 1), 1, "gpio.value"),
        fail_safe=at_most(fields.integer("fail_safe", 0, 0), 1, "gpio.fail_safe"),
        active_low=fields.boolean("active_low", default=False),
        hold_s=at_least(fields.number("hold_s", 5.0), 0.001, "gpio.hold_s"),
        delivery=_delivery(fields),
        trigger=_trigger(fields),
    )
    if not found.chip.startswith("/dev/") or "/../" in found.chip:
        raise WireError(f"gpio.chip: {found.chip!r:.80} is no device below /dev")
    return found


def _opcua_write(fields: Fields) -> OpcUaWrite:
    security = fields.text("security", "sign_and_encrypt")
    found = OpcUaWrite(
        url=fields.text("url"),
        node=fields.text("node"),
        value=fields.number("value", 1.0),
        fail_safe=fields.number("fail_safe", 0.0),
        security=among(security, OPC_UA_SECURITY, "opcua_write.security"),
        certificate=fields.optional_text("certificate"),
        key=fields.optional_text("key"),
        server_certificate=fields.optional_text("server_certificate"),
        username=fields.optional_text("username"),
        password=fields.optional_text("password"),
        hold_s=at_least(fields.number("hold_s", 5.0), 0.001, "opcua_write.hold_s"),
        delivery=_delivery(fields),
        trigger=_trigger(fields),
    )
    parts = urlsplit(found.url)
    if parts.scheme != "opc.tcp" or not parts.hostname or parts.username is not None:
        raise WireError(f"opcua_write.url: {found.url!r:.200} is no opc.tcp:// address")
    proof = (found.certificate, found.key, found.server_certificate)
    if found.security != "none" and None in proof:
        raise WireError("opcua_write: certificate, key and server_certificate belong to security")
    if found.security == "none" and found.password is not None:
        raise WireError("opcua_write: a password is not sent to a server that nothing proves")
    return found


def _email(fields: Fields) -> Email:
    found = Email(
        host=fields.text("host"),
        port=at_most(fields.integer("port", 1, 587), MAX_PORT, "email.port"),
        security=among(fields.text("security", "starttls"), MAIL_SECURITY, "email.security"),
        ca=fields.optional_text("ca"),
        username=fields.optional_text("username"),
        password=fields.optional_text("password"),
        sender=fields.text("sender"),
        to=fields.texts("to"),
        subject=fields.optional_text("subject"),
        delivery=_delivery(fields),
        trigger=_trigger(fields),
    )
    for address in (found.sender, *found.to):
        if _ADDRESS.fullmatch(address) is None:
            raise WireError(f"email: {address!r:.260} is no address")
    if not found.to or any(ord(letter) < 32 for letter in found.subject or ""):
        raise WireError("email: nobody to send to, or a subject of more than one line")
    if found.security == "none" and found.password is not None:
        raise WireError("email: a password is not sent in clear")
    return found


OPERATORS: Dict[str, Callable[[Fields], Action]] = {
    "store": _store,
    "webhook": _webhook,
    "mqtt": _mqtt,
    "modbus_write": _modbus_write,
    "gpio": _gpio,
    "opcua_write": _opcua_write,
    "email": _email,
}
