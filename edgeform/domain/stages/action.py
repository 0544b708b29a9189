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


Action = StoreLocally | Webhook | MqttPublish | ModbusWrite
