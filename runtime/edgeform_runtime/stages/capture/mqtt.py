"""Messages of an MQTT topic: pictures, texts, WAV files or rows of numbers. Needs paho-mqtt 2.

A message of QoS 1 is acknowledged only when the pipeline is through with its frame, and the session is
kept by the broker, so that what was published while the device was off still comes. The connection is
the pipeline's, shared with actions and reports, so nothing here may make its thread wait: what comes
faster than the pipeline takes it stays at the broker, unacknowledged, and is asked for again.
"""

import threading
from collections import deque
from typing import Any, Callable, Deque, Iterator, Optional

from edgeform_runtime.errors import EngineUnavailable, FrameError
from edgeform_runtime.frames import Frame
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.capture import Mqtt
from edgeform_runtime.stages.capture.following import (
    Backoff,
    FrameMaker,
    SourceLost,
    following,
    package_missing,
)
from edgeform_runtime.stages.capture.rows import Reader
from edgeform_runtime.stages.content import AUDIO, PICTURE
from edgeform_runtime.stages.contract import Notices, Place

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_WAITING, MAX_WAITING_BYTES = 64, 64 * 1024 * 1024
WAITING_QOS_0 = 2
WAIT_S = 0.5
CONNECT_S = 10.0


class MqttSource:
    """Frames of the topic's messages.

    Raises:
        PipelineInvalid: paho-mqtt is not in the closure, certificates cannot be read, or another stage
            wants another name on this connection.
        SecretMissing: a secret that the stage names.
    """

    def __init__(
        self,
        stage: Mqtt,
        stop: threading.Event,
        *,
        place: Place,
        backoff: Optional[Backoff] = None,
    ) -> None:
        self._stage, self._stop, self.place = stage, stop, place
        try:
            self._link = place.link(stage.broker)
        except EngineUnavailable as exc:
            raise package_missing("mqtt", "paho-mqtt") from exc
        if stage.client_id:
            self._link.identify(stage.client_id)
        self._link.check()
        self._waiting = Waiting(stage.qos)
        self._subscription = self._link.deliver(stage.topic, stage.qos, self._waiting.take)
        self._backoff = backoff or Backoff()
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
        self._waiting.on_drop = lambda: notices.failed("queue_full")
        for message in following(
            self._messages, stop=self._stop, notices=notices, backoff=self._backoff
        ):
            content = self._content(message.payload, notices)
            if content is None:
                self._done(message)
                continue
            yield maker.frame(content, self._finisher(message))

    def _content(self, body: bytes, notices: Notices) -> Optional[bytes]:
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

    def _messages(self) -> Iterator[Any]:
        """The messages of one connection; None when none came for a while."""
        self._reader.restart()
        if not self._is_connected():
            return
        while True:
            message = self._waiting.get(WAIT_S)
            if message is not None:
                yield message
                continue
            if self._stop.is_set():
                return
            if not self._subscription.is_on:
                raise SourceLost("connection", self._subscription.failure or self._link.why)
            if self._waiting.is_behind():
                log("info", "mqtt_asks_again", topic=self._stage.topic)
                self._link.renew()
                raise SourceLost("behind", "the broker sent more than can wait here")
            yield None

    def _is_connected(self) -> bool:
        """Wait until the broker has taken the topic; False when asked to stop meanwhile."""
        try:
            self._link.start()
        except OSError as exc:
            raise SourceLost("unreachable", f"{self._stage.broker.host}: {exc}") from exc
        waited_s = 0.0
        while not self._subscription.is_on:
            if self._subscription.failure:
                raise SourceLost("connection", self._subscription.failure)
            if self._stop.wait(0.05):
                return False
            waited_s += 0.05
            if self._link.has_failed or waited_s >= CONNECT_S:
                raise SourceLost("unreachable", self._link.why)
        return True

    def _done(self, message: Any) -> None:
        self._link.acknowledge(message)
        self._waiting.done()

    def _finisher(self, message: Any) -> Callable[[str], None]:
        def finish(outcome: str) -> None:
            del outcome  # a frame that failed would fail again
            self._done(message)

        return finish


class Waiting:
    """Messages that came and were not taken yet, bounded in number and bytes.

    With qos 0 the oldest goes when there are too many. With qos 1 the new one is left to the broker: it is
    not acknowledged, so a new connection brings it again.
    """

    def __init__(self, qos: int) -> None:
        self._qos = qos
        self._messages: Deque[Any] = deque()
        self._bytes = 0
        self._in_work = 0
        self._is_behind = False
        self._changed = threading.Condition()
        self.on_drop: Callable[[], None] = lambda: None

    def take(self, message: Any) -> bool:
        """Keep the message; whether it is done with at once."""
        size = len(message.payload)
        is_dropped = False
        with self._changed:
            if self._qos == 0:
                is_dropped = len(self._messages) >= WAITING_QOS_0
                if is_dropped:
                    self._bytes -= len(self._messages.popleft().payload)
            elif self._messages and (
                len(self._messages) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES
            ):
                self._is_behind = True
                return False
            self._messages.append(message)
            self._bytes += size
            self._changed.notify_all()
        if is_dropped:
            self.on_drop()
        return False

    def get(self, timeout_s: float) -> Optional[Any]:
        """The oldest; None when none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._messages), timeout_s)
            if not self._messages:
                return None
            message = self._messages.popleft()
            self._bytes -= len(message.payload)
            self._in_work += 1
            return message

    def done(self) -> None:
        """One that was got is through."""
        with self._changed:
            self._in_work -= 1

    def is_behind(self) -> bool:
        """Whether messages were left to the broker since this was last asked, and all others are through."""
        with self._changed:
            if self._messages or self._in_work or not self._is_behind:
                return False
            self._is_behind = False
            return True
