"""An MQTT broker, as actions and reports name it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where it is and how it is proven; `ca`, `certificate`, `key` and `password` are names of secrets."""

    host: str
    port: int = 8883
    tls: bool = True
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    username: str | None = None
    password: str | None = None
