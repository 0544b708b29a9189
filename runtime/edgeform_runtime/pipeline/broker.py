"""An MQTT broker, as actions and reports name it; secrets are named, their values read on connecting."""

from dataclasses import dataclass
from typing import Optional

from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MAX_PORT = 65535


@dataclass(frozen=True)
class Broker:
    """Where it is and how it is proven; `ca`, `certificate`, `key` and `password` name secrets."""

    host: str
    port: int
    tls: bool
    ca: Optional[str]
    certificate: Optional[str]
    key: Optional[str]
    username: Optional[str]
    password: Optional[str]


def broker_of(fields: Fields) -> Broker:
    """The broker under `broker`.

    Raises:
        WireError: a field is wrong, or a certificate comes without its key.
    """
    inner = Fields(fields.object("broker"), "broker")
    found = Broker(
        host=inner.text("host"),
        port=inner.integer("port", 1, 8883),
        tls=inner.boolean("tls", default=True),
        ca=inner.optional_text("ca"),
        certificate=inner.optional_text("certificate"),
        key=inner.optional_text("key"),
        username=inner.optional_text("username"),
        password=inner.optional_text("password"),
    )
    inner.done()
    if found.port > MAX_PORT:
        raise WireError(f"broker.port: {found.port} is not a port")
    if (found.certificate is None) != (found.key is None):
        raise WireError("broker: `certificate` and `key` belong together")
    if not found.tls and (found.ca or found.certificate):
        raise WireError("broker: certificates say nothing without `tls`")
    return found
