"""A connection to an MQTT broker that comes back by itself; publishing waits for the broker's word.

The only module that knows paho-mqtt. Protocol 3.1.1: what AWS IoT Core, Azure IoT Hub and every
broker in the field speak.
"""

import ssl
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from edgeform_runtime.errors import EngineUnavailable
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.secrets import Secrets

try:
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError as exc:  # the closure was built without it
    raise EngineUnavailable("paho-mqtt is not in this runtime closure") from exc

KEEPALIVE_S = 30
RECONNECT_S = (1, 60)
Handler = Callable[[str, bytes], None]


class Link:
    """Connects when it is first used, and again whenever the connection is lost.

    Args:
        client_id: the broker knows one client of a name; a second one throws the first out.
        username: instead of the broker's, where a profile demands a form of its own.
    """

    def __init__(
        self,
        broker: Broker,
        secrets: Secrets,
        client_id: str,
        *,
        username: Optional[str] = None,
        on_connect: Optional[Callable[[], None]] = None,
    ) -> None:
        self._broker, self._secrets = broker, secrets
        self._username = username or broker.username
        self._handlers: Dict[str, Handler] = {}
        self._lock = threading.Lock()
        self._connected = threading.Event()
        self._is_started = False
        self._why = "never connected"
        self._on_connect = on_connect
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311
        )
        self._client.on_connect = self._was_connected
        self._client.on_disconnect = self._was_disconnected
        self._client.on_message = self._was_told
        self._client.reconnect_delay_set(*RECONNECT_S)

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Hand messages of a topic filter to `handler(topic, payload)`; before the first use."""
        self._handlers[topic] = handler

    def start(self) -> None:
        """Begin to connect; returns at once.

        Raises:
            SecretMissing: a certificate, key or password that the broker names is not there.
            OSError: a certificate or key cannot be read (`ssl.SSLError` is one).
        """
        with self._lock:
            if self._is_started:
                return
            if self._broker.tls:
                self._client.tls_set_context(self._tls())
            if self._username is not None:
                password = None
                if self._broker.password is not None:
                    password = self._secrets.value(self._broker.password).decode().strip()
                self._client.username_pw_set(self._username, password)
            self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
            self._client.loop_start()
            self._is_started = True

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, timeout_s: float
    ) -> None:
        """Send one message and wait until the broker has it (qos 1) or it is written (qos 0).

        Raises:
            OSError: not within the time, with what is known of the connection.
        """
        self.start()
        deadline = time.monotonic() + timeout_s
        if not self._connected.wait(timeout_s):
            raise OSError(f"no broker at {self._broker.host}:{self._broker.port}: {self._why}")
        sent = self._client.publish(topic, payload, qos, retain)
        try:
            sent.wait_for_publish(max(0.0, deadline - time.monotonic()))
        except (RuntimeError, ValueError) as exc:
            raise OSError(f"{self._broker.host}: {exc}") from exc
        if not sent.is_published():
            raise OSError(f"{self._broker.host} did not take the message within {timeout_s:g} s")

    def answer(self, topic: str, payload: bytes) -> None:
        """Send from within a handler: without waiting, which would stop the client's own thread."""
        self._client.publish(topic, payload, 0)

    def close(self) -> None:
        with self._lock:
            if self._is_started:
                self._client.disconnect()
                self._client.loop_stop()
                self._is_started = False
                self._connected.clear()

    def _tls(self) -> ssl.SSLContext:
        ca = None if self._broker.ca is None else self._secrets.path(self._broker.ca)
        context = ssl.create_default_context(cafile=ca)
        if self._broker.certificate is not None and self._broker.key is not None:
            context.load_cert_chain(
                self._secrets.path(self._broker.certificate), self._secrets.path(self._broker.key)
            )
        return context

    def _was_connected(
        self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._why = f"it refused: {reason}"
            log("warning", "broker_refused", host=self._broker.host, reason=str(reason))
            return
        topics: List[Tuple[str, int]] = [(topic, 1) for topic in self._handlers]
        if topics:
            self._client.subscribe(topics)
        log("info", "broker_connected", host=self._broker.host)
        self._connected.set()
        if self._on_connect is not None:
            self._on_connect()

    def _was_disconnected(
        self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._connected.clear()
        self._why = f"connection lost: {reason}"

    def _was_told(self, _client: Any, _data: Any, message: Any) -> None:
        for topic, handler in self._handlers.items():
            if paho.topic_matches_sub(topic, message.topic):
                handler(message.topic, bytes(message.payload))
                return
