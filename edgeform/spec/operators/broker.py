"""An MQTT broker out of proven values."""

from edgeform.domain.stages.broker import Broker
from edgeform.spec.fields import Mapping, boolean_or, integer_or, text, text_or


def broker(spec: Mapping) -> Broker:
    return Broker(
        host=text_or(spec, "host", ""),
        port=integer_or(spec, "port", 8883),
        tls=boolean_or(spec, "tls", default=True),
        ca=text(spec, "ca"),
        certificate=text(spec, "certificate"),
        key=text(spec, "key"),
        username=text(spec, "username"),
        password=text(spec, "password"),
    )
