"""Publishing results to an MQTT broker."""

from edgeform_runtime.frames import Inferred
from edgeform_runtime.pipeline.action import MqttPublish
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.message import result_message


class MqttSink:
    """Publishes a result and waits for the broker's word; the connection is the pipeline's."""

    kind = "mqtt"

    def __init__(self, stage: MqttPublish, place: Place) -> None:
        self._stage, self._place = stage, place
        self._link = place.link(stage.broker)

    def write(self, inferred: Inferred) -> None:
        """Raises OSError when the broker has not taken the message in time."""
        message = result_message(self._place, inferred)
        self._link.publish(
            self._stage.topic,
            message,
            qos=self._stage.qos,
            retain=self._stage.retain,
            timeout_s=self._stage.delivery.timeout_s,
        )
        broker = self._stage.broker
        self._place.sent(self.kind, f"{broker.host}:{broker.port}", len(message))

    def idle(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """The connection is closed with the pipeline."""
