"""A connection to an MQTT broker that comes back by itself; publishing waits for the broker's word.

The only module that knows paho-mqtt. Protocol 3.1.1: what AWS IoT Core, Azure IoT Hub and every
broker in the field speak. Handlers run on the client's own thread and must not wait for anything.
"""

import contextlib
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from edgeform_runtime.errors import EngineUnavailable, PipelineInvalid
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.secrets import Secrets

try:
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError as exc:  # the closure was built without it
    raise EngineUnavailable("paho-mqtt is not in this runtime closure") from exc

KEEPALIVE_S = 30
CONNECT_S = 10.0
RECONNECT_S = (1, 30)
Handler = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Message:
    """What came on a topic. `connection` counts connections: a message belongs to the one it came by."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    connection: int


class Subscription:
    """One topic filter, and how the broker took it; `failure` is empty while it is or may be."""

    def __init__(self, topic: str, qos: int, take: Callable[[Message], bool]) -> None:
        self.topic, self.qos = topic, qos
        self.take = take
        """Gets each message; False leaves it unacknowledged, for `Link.acknowledge`."""
        self.is_on = False
        self.failure = ""


class Link:
    """Connects when it is first used, and again whenever the connection is lost.

    Args:
        client_id: unless `identify` says otherwise. The broker knows one client of a name; a second one
            throws the first out.
    """

    def __init__(self, broker: Broker, secrets: Secrets, client_id: str) -> None:
        self._broker, self._secrets = broker, secrets
        self._client_id, self._is_identified = client_id, False
        self._username = broker.username
        self._keeps_session = False
        self._subscriptions: List[Subscription] = []
        self._asked: Dict[int, Subscription] = {}
        self._on_connect: List[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._connected = threading.Event()
        self._connection = 0
        self._why = "never connected"
        self.has_failed = False
        """Whether the last attempt to connect failed."""
        self._client: Optional[paho.Client] = None

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    @property
    def client_id(self) -> str:
        return self._client_id

    @property
    def why(self) -> str:
        """What is known of a connection that is not there."""
        return f"{self._broker.host}:{self._broker.port}: {self._why}"

    def identify(self, client_id: str, username: Optional[str] = None) -> None:
        """Be known by this name, and user where a cloud demands a form of its own; before the first use.

        Raises:
            PipelineInvalid: another stage of the pipeline wants another name on this connection.
        """
        if self._is_identified and client_id != self._client_id:
            raise PipelineInvalid(
                f"{self._broker.host}: stages of one pipeline share a connection, and one wants to be"
                f" known as {self._client_id!r:.140}, another as {client_id!r:.140}"
            )
        self._client_id, self._is_identified = client_id, True
        self._username = username or self._username

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Hand messages of a topic filter to `handler(topic, payload)`; before the first use."""

        def take(message: Message) -> bool:
            handler(message.topic, message.payload)
            return True

        self._subscriptions.append(Subscription(topic, 1, take))

    def deliver(self, topic: str, qos: int, take: Callable[[Message], bool]) -> Subscription:
        """Hand messages to `take`; with qos 1 the broker keeps those that are not acknowledged.

        Before the first use.
        """
        found = Subscription(topic, qos, take)
        self._subscriptions.append(found)
        self._keeps_session = self._keeps_session or qos > 0
        return found

    def when_connected(self, call: Callable[[], None]) -> None:
        """Call this after each connection, once topics are asked for; before the first use."""
        self._on_connect.append(call)

    def check(self) -> None:
        """Refuse certificates that cannot be used, before anything is opened.

        Raises:
            PipelineInvalid: they do not fit or cannot be read. SecretMissing: one is not there.
        """
        if self._broker.tls:
            try:
                tls_of(self._broker, self._secrets)
            except (OSError, ValueError) as exc:
                raise PipelineInvalid(
                    f"broker {self._broker.host}: the certificates cannot be used: {exc}"
                ) from exc

    def start(self) -> None:
        """Begin to connect; returns at once.

        Raises:
            SecretMissing: a certificate, key or password that the broker names is not there.
            OSError: a certificate or key cannot be read (`ssl.SSLError` is one).
        """
        with self._lock:
            if self._client is not None:
                return
            client = paho.Client(
                CallbackAPIVersion.VERSION2,
                client_id=self._client_id,
                clean_session=not self._keeps_session,
                protocol=paho.MQTTv311,
                manual_ack=True,
            )
            client.on_connect, client.on_disconnect = self._was_connected, self._was_disconnected
            client.on_connect_fail = self._was_not_connected
            client.on_subscribe, client.on_message = self._was_subscribed, self._was_told
            client.reconnect_delay_set(*RECONNECT_S)
            client.connect_timeout = CONNECT_S
            if self._broker.tls:
                client.tls_set_context(tls_of(self._broker, self._secrets))
            if self._username is not None:
                password = None
                if self._broker.password is not None:
                    password = self._secrets.value(self._broker.password).decode().strip()
                client.username_pw_set(self._username, password)
            client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
            client.loop_start()
            self._client = client

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, timeout_s: float
    ) -> None:
        """Send one message and wait until the broker has it (qos 1) or it is written (qos 0).

        Raises:
            OSError: not within the time, with what is known of the connection.
        """
        self.start()
        deadline = time.monotonic() + timeout_s
        client = self._client
        if not self._connected.wait(timeout_s) or client is None:
            raise OSError(f"no broker at {self.why}")
        sent = client.publish(topic, payload, qos, retain)
        try:
            sent.wait_for_publish(max(0.0, deadline - time.monotonic()))
        except (RuntimeError, ValueError) as exc:
            raise OSError(f"{self._broker.host}: {exc}") from exc
        if not sent.is_published():
            raise OSError(f"{self._broker.host} did not take the message within {timeout_s:g} s")

    def answer(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Send from within a handler: without waiting, which would stop the client's own thread."""
        client = self._client
        if client is not None:
            client.publish(topic, payload, qos)

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that this message is done with; nothing if it came by an earlier connection.

        The broker sends it again by the new one, and a number may mean another message there.
        """
        client = self._client
        if client is not None and message.connection == self._connection:
            client.ack(message.mid, message.qos)

    def renew(self) -> None:
        """Connect anew, so that the broker sends again what was not acknowledged."""
        client = self._client
        sock: Any = None if client is None else client.socket()
        if sock is not None:
            # The client's own thread sees the end and connects again; its `reconnect` is for that thread.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            if client is not None:
                client.disconnect()
                client.loop_stop()
                self._connected.clear()

    def _was_connected(
        self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._why, self.has_failed = f"it refused: {reason}", True
            log("warning", "broker_refused", host=self._broker.host, reason=str(reason))
            return
        self._connection += 1
        self.has_failed = False
        self._asked.clear()
        for wanted in self._subscriptions:
            wanted.is_on, wanted.failure = False, ""
            _, mid = client.subscribe(wanted.topic, wanted.qos)
            if mid is not None:
                self._asked[mid] = wanted
        log("info", "broker_connected", host=self._broker.host)
        self._connected.set()
        for call in self._on_connect:
            call()

    def _was_subscribed(
        self, _client: Any, _data: Any, mid: int, codes: Any, _properties: Any
    ) -> None:
        wanted = self._asked.pop(mid, None)
        if wanted is None:
            return
        if any(code.is_failure for code in codes):
            wanted.failure = f"the broker refuses the topic {wanted.topic!r}"
            log("warning", "topic_refused", host=self._broker.host, topic=wanted.topic)
        else:
            wanted.is_on = True

    def _was_not_connected(self, _client: Any, _data: Any) -> None:
        # paho calls this while it handles the exception, and does not hand it over.
        self._why = str(sys.exc_info()[1] or "it cannot be reached")
        self.has_failed = True

    def _was_disconnected(
        self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        for wanted in self._subscriptions:
            wanted.is_on = False
        if was_connected:
            self._why = f"connection lost: {reason}"

    def _was_told(self, client: Any, _data: Any, told: Any) -> None:
        message = Message(
            topic=told.topic,
            payload=bytes(told.payload),
            mid=told.mid,
            qos=told.qos,
            connection=self._connection,
        )
        for wanted in self._subscriptions:
            if paho.topic_matches_sub(wanted.topic, told.topic):
                if not wanted.take(message):
                    return
                break
        client.ack(told.mid, told.qos)


def tls_of(broker: Broker, secrets: Secrets) -> ssl.SSLContext:
    """TLS 1.2 or newer; the broker's name is checked against the given authority or the system's.

    Raises:
        OSError, ValueError: the certificates do not fit or cannot be read. SecretMissing: one is not there.
    """
    ca = None if broker.ca is None else secrets.path(broker.ca)
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.certificate is not None and broker.key is not None:
        context.load_cert_chain(secrets.path(broker.certificate), secrets.path(broker.key))
    return context
