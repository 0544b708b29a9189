"""Publishing results to an MQTT broker."""

from edgeform_runtime.frames import Inferred
from edgeform_runtime.pipeline.action import MqttPublish
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.message import result_message
from edgeform_runtime.stages.mqtt.link import Link


class MqttSink:
    """Publishes a result and waits for the broker's word."""

    kind = "mqtt"

    def __init__(self, stage: MqttPublish, place: Place, number: int) -> None:
        self._stage, self._place = stage, place
        name = f"edgeform-{place.device}-{place.pipeline}-action-{number}"
        self._link = Link(stage.broker, place.secrets, name)

    def write(self, inferred: Inferred) -> None:
        """Raises OSError when the broker has not taken the message in time."""
        self._link.publish(
            self._stage.topic,
            result_message(self._place, inferred),
            qos=self._stage.qos,
            retain=self._stage.retain,
            timeout_s=self._stage.delivery.timeout_s,
        )

    def idle(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        self._link.close()
