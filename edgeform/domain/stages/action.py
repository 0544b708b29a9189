"""What a result does: a closed set of operators, each with the rule that lets it act."""

from dataclasses import dataclass
from typing import ClassVar

from edgeform.domain.stages.broker import Broker


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """Act only when the rule `when` has held for `for_s`, and not again within `cooldown_s`."""

    when: str | None = None
    for_s: float = 0.0
    cooldown_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote(Triggered):
    """Something that another machine must take: tried again, with a bounded queue before it."""

    timeout_s: float = 10.0
    retries: int = 3
    queue: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocally(Triggered):
    """Keep results as JSON Lines below the prefix, oldest files go first at the limits."""

    kind: ClassVar[str] = "store"
    directory: str = "results"
    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 7 * 86400.0
    frames: str = "none"
    """none, or encoded: the frame as captured is kept beside its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Remote):
    """Post each result as JSON; secrets are named, never written."""

    kind: ClassVar[str] = "webhook"
    url: str
    header: str = "Authorization"
    secret: str | None = None
    ca: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttPublish(Remote):
    """Publish each result."""

    kind: ClassVar[str] = "mqtt"
    topic: str
    broker: Broker
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusWrite(Remote):
    """Set a coil or register while the rule holds, `fail_safe` otherwise and when the process ends."""

    kind: ClassVar[str] = "modbus_write"
    host: str
    port: int = 502
    unit: int = 1
    target: str = "coil"
    """coil, or register."""
    address: int
    value: int = 1
    fail_safe: int = 0
    hold_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpio(Remote):
    """Drive a line of a GPIO chip while the rule holds, `fail_safe` otherwise and when the process ends."""

    kind: ClassVar[str] = "gpio"
    chip: str
    """Character device, as /dev/gpiochip0."""
    line: int
    value: int = 1
    fail_safe: int = 0
    active_low: bool = False
    hold_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcUaWrite(Remote):
    """Write a node while the rule holds, `fail_safe` otherwise and when the process ends."""

    kind: ClassVar[str] = "opcua_write"
    url: str
    node: str
    value: float = 1.0
    fail_safe: float = 0.0
    security: str = "sign_and_encrypt"
    """none, sign or sign_and_encrypt, with policy Basic256Sha256."""
    certificate: str | None = None
    key: str | None = None
    server_certificate: str | None = None
    username: str | None = None
    password: str | None = None
    hold_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Email(Remote):
    """Mail each result through a relay."""

    kind: ClassVar[str] = "email"
    host: str
    port: int = 587
    security: str = "starttls"
    """starttls, tls or none."""
    ca: str | None = None
    username: str | None = None
    password: str | None = None
    sender: str
    to: tuple[str, ...]
    subject: str | None = None


Action = StoreLocally | Webhook | MqttPublish | ModbusWrite | Gpio | OpcUaWrite | Email
