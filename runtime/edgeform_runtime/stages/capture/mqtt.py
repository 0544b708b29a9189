"""Messages of an MQTT topic: pictures, texts, WAV files or rows of numbers. Needs paho-mqtt 2.

A message of QoS 1 is acknowledged only when the pipeline is through with its frame, and the session is
kept by the broker, so that what was published while the device was off still comes.
"""

import ssl
import threading
from typing import Any, Iterator, Optional

from edgeform_runtime.errors import FrameError, PipelineInvalid
from edgeform_runtime.frames import BoundedQueue, Frame
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.pipeline.capture import Mqtt
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.capture.following import (
    Backoff,
    FrameMaker,
    SourceLost,
    following,
    package_missing,
)
from edgeform_runtime.stages.capture.rows import Reader
from edgeform_runtime.stages.content import AUDIO, PICTURE
from edgeform_runtime.stages.contract import Notices

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
WAITING = 2
WAIT_S = 0.5
KEEPALIVE_S = 30
CONNECT_S = 10.0


class MqttSource:
    """Frames of the topic's messages.

    Args:
        identity: what the broker knows this pipeline by, unless the stage says otherwise.

    Raises:
        PipelineInvalid: paho-mqtt is not in the closure, or certificates cannot be read.
        SecretMissing: a secret that the stage names.
    """

    def __init__(
        self,
        stage: Mqtt,
        stop: threading.Event,
        *,
        secrets: Secrets,
        identity: str,
        backoff: Optional[Backoff] = None,
    ) -> None:
        try:
            import paho.mqtt.client  # noqa: PLC0415 - only this stage needs it
        except ImportError as exc:
            raise package_missing("mqtt", "paho-mqtt") from exc
        self._paho: Any = paho.mqtt.client
        self._stage, self._stop, self._secrets = stage, stop, secrets
        self._identity = stage.client_id or identity
        self._backoff = backoff or Backoff()
        self._tls = tls_of(stage.broker, secrets) if stage.broker.tls else None
        self._reader = Reader(
            payload="text" if stage.payload == "text" else "series",
            channels=stage.channels,
            window=stage.window,
            hop=stage.hop,
            separator=",",
        )

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """One frame per message, or per window of rows, until the stop event."""
        maker = FrameMaker("mqtt:" + self._stage.topic)
        for link, message in following(
            lambda: self._messages(notices),
            stop=self._stop,
            notices=notices,
            backoff=self._backoff,
        ):
            content = self._content(message, notices)
            if content is None:
                link.ack(message.mid, message.qos)
                continue
            yield maker.frame(content, _acknowledge(link, message))

    def _content(self, message: Any, notices: Notices) -> Optional[bytes]:
        body = bytes(message.payload)
        if len(body) > MAX_MESSAGE_BYTES or not body:
            notices.failed("too_large" if body else "empty")
            return None
        if self._stage.payload in (PICTURE, AUDIO):
            return body
        try:
            return self._reader.content(body)
        except FrameError as exc:
            log("warning", "capture_failed", name=self._stage.topic, reason=exc.summary)
            notices.failed(exc.reason)
            return None

    def _messages(self, notices: Notices) -> Iterator[Any]:
        """(client, message) pairs of one connection."""
        paho, stage, broker = self._paho, self._stage, self._stage.broker
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self._identity,
            clean_session=stage.qos == 0,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if broker.username is not None:
            secret = broker.password
            password = self._secrets.value(secret).decode().strip() if secret else None
            client.username_pw_set(broker.username, password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.connect_timeout = CONNECT_S

        def drop(message: Any) -> None:
            notices.failed("queue_full")
            client.ack(message.mid, message.qos)

        when_full = "wait" if stage.qos else "drop_oldest"
        waiting: BoundedQueue[Any] = BoundedQueue(WAITING, when_full, drop)
        link = _Link(waiting, stage.topic, stage.qos)
        client.on_connect, client.on_disconnect = link.connected, link.disconnected
        client.on_subscribe = link.subscribed
        client.on_message = link.message
        self._reader.restart()
        try:
            client.connect(broker.host, broker.port, KEEPALIVE_S)
        except (OSError, ValueError) as exc:
            raise SourceLost("unreachable", f"{broker.host}:{broker.port}: {exc}") from exc
        client.loop_start()
        try:
            while True:
                message = waiting.get(WAIT_S)
                if message is not None:
                    yield client, message
                elif link.failure:
                    raise SourceLost("connection", f"{broker.host}:{broker.port}: {link.failure}")
                elif link.is_subscribed:
                    yield None
                elif self._stop.is_set():
                    return
        finally:
            # First let the network thread out of a `put` that waits, or stopping it would wait for ever.
            waiting.close()
            client.disconnect()
            client.loop_stop()


class _Link:
    """What the client's network thread tells."""

    def __init__(self, waiting: "BoundedQueue[Any]", topic: str, qos: int) -> None:
        self._waiting, self._topic, self._qos = waiting, topic, qos
        self.is_subscribed = False
        self.failure = ""

    def connected(self, client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
        del data, flags, properties
        if code.is_failure:
            self.failure = str(code)
            return
        client.subscribe(self._topic, self._qos)

    def subscribed(self, client: Any, data: Any, mid: Any, codes: Any, properties: Any) -> None:
        del client, data, mid, properties
        if any(code.is_failure for code in codes):
            self.failure = f"the broker refuses the topic {self._topic!r}"
            return
        self.is_subscribed = True

    def disconnected(self, client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
        del client, data, flags, properties
        self.failure = self.failure or str(code)

    def message(self, client: Any, data: Any, message: Any) -> None:
        del client, data
        self._waiting.put(message)


def _acknowledge(client: Any, message: Any) -> Any:
    def finish(outcome: str) -> None:
        del outcome  # a frame that failed would fail again
        client.ack(message.mid, message.qos)

    return finish


def tls_of(broker: Broker, secrets: Secrets) -> ssl.SSLContext:
    """TLS 1.2 or newer; the broker's name is checked against the given authority or the system's.

    Raises:
        PipelineInvalid: the certificates do not fit or cannot be read. SecretMissing: one is not there.
    """
    try:
        ca = secrets.path(broker.ca) if broker.ca else None
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if broker.certificate and broker.key:
            context.load_cert_chain(secrets.path(broker.certificate), secrets.path(broker.key))
    except (OSError, ValueError) as exc:
        raise PipelineInvalid(f"capture mqtt: the certificates cannot be used: {exc}") from exc
    return context
