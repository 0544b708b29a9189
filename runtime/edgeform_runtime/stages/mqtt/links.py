"""The connections of one pipeline: one to each broker, shared by capture, actions and reports.

A broker knows one client of a name, and the clouds know one of a device: two connections of one pipeline
would throw each other out.
"""

import threading
from typing import TYPE_CHECKING, Dict

from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.secrets import Secrets

if TYPE_CHECKING:
    from edgeform_runtime.stages.mqtt.link import Link


class Links:
    """Makes each connection when it is first asked for; opening it is the first user's doing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: Dict[Broker, Link] = {}

    def of(self, broker: Broker, secrets: Secrets, client_id: str) -> "Link":
        """The connection to the broker; `client_id` is its name unless a stage demands another.

        Raises:
            EngineUnavailable: paho-mqtt is not in the closure.
        """
        from edgeform_runtime.stages.mqtt.link import Link  # noqa: PLC0415 - only where it is used

        with self._lock:
            if broker not in self._links:
                self._links[broker] = Link(broker, secrets, client_id)
            return self._links[broker]

    def close(self) -> None:
        """Close every connection; whoever still publishes hears that there is none."""
        with self._lock:
            links = tuple(self._links.values())
        for link in links:
            link.close()
