"""Which topics and payloads a broker expects: plain MQTT, AWS IoT Core, Azure IoT Hub. Pure functions.

Sources: AWS IoT Core developer guide, `device-shadow-mqtt` and `device-shadow-document` (8 KB a document);
Azure IoT Hub, `iot-mqtt-connect-to-iot-hub` (api-version 2021-04-12).
"""

import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from edgeform_runtime.stages.contract import Place

SHADOW_BYTES = 6 * 1024
"""Below the 8 KB that AWS takes, so that its own metadata has room."""
AZURE_API = "2021-04-12"
SHADOW = "$aws/things/{thing}/shadow/name/edgeform"
SUMMARY = ("model", "results", "failed", "dropped", "p50_ms", "p95_ms", "period_s")


@dataclass(frozen=True)
class Outgoing:
    topic: str
    payload: bytes


@dataclass(frozen=True)
class Profile:
    """What a broker is told, and how it is reached; `name` is of the device there."""

    kind: str
    name: str
    place: Place
    may_be_asked: bool = False
    """Whether the stage allows any question. AWS ends the connection of a device that touches a topic which
    its policy does not allow, so nobody subscribes jobs unasked."""

    @property
    def client_id(self) -> Optional[str]:
        """What the device must be known by at its broker; None where any name will do."""
        return None if self.kind == "plain" else self.name

    def username(self, host: str) -> str:
        """The form that the hub demands; empty where the broker's own stands."""
        return f"{host}/{self.name}/?api-version={AZURE_API}" if self.kind == "azure_iot" else ""

    def report(
        self, report: Mapping[str, Any], stale: Tuple[str, ...] = ()
    ) -> Tuple[Outgoing, ...]:
        """The messages that tell a report; pipelines that are no more go out of the device's document."""
        if self.kind == "aws_iot":
            topic = f"{SHADOW.format(thing=self.name)}/update"
            return (Outgoing(topic, self._shadow(report, stale)),)
        if self.kind == "azure_iot":
            twin = {"edgeform": _state(report, stale)}
            topic = f"$iothub/twin/PATCH/properties/reported/?$rid={report['seq']}"
            return (
                Outgoing(self._events("report"), encoded(report)),
                Outgoing(topic, encoded(twin)),
            )
        return (Outgoing(f"{self.base}/{self.place.pipeline}/report", encoded(report)),)

    def receipt(self, line: bytes) -> Outgoing:
        """The message that carries a receipt, as it stands in the device's file, signature included."""
        if self.kind == "azure_iot":
            return Outgoing(self._events("receipt"), line)
        return Outgoing(f"{self.base}/receipt", line)

    @property
    def base(self) -> str:
        return f"edgeform/v1/{self.place.site}/{self.place.device}"

    def _events(self, kind: str) -> str:
        properties = f"$.ct=application%2Fjson&$.ce=utf-8&type={kind}"
        return f"devices/{self.name}/messages/events/{properties}"

    def _shadow(self, report: Mapping[str, Any], stale: Tuple[str, ...]) -> bytes:
        state = _state(report, stale)
        token = f"{self.place.pipeline}-{report['seq']}"
        found = encoded({"state": {"reported": state}, "clientToken": token[-64:]})
        if len(found) <= SHADOW_BYTES:
            return found
        name = self.place.pipeline
        state["pipelines"] = {name: {"model": state["pipelines"][name]["model"]}}
        return encoded({"state": {"reported": state}, "clientToken": token[-64:]})


def _state(report: Mapping[str, Any], stale: Tuple[str, ...]) -> Dict[str, Any]:
    """The device's state: maps and no lists, because twins and shadows merge maps."""
    summary = {name: report[name] for name in SUMMARY if name in report}
    return {
        "schema": 1,
        "generation": report["generation"],
        "digest": report["generation_digest"],
        "update": report["update"],
        "seq": report["seq"],
        # A null takes a name out of a twin and of a shadow.
        "pipelines": {**dict.fromkeys(stale), report["pipeline"]: summary},
    }


def encoded(value: Mapping[str, Any]) -> bytes:
    """Canonical enough for golden files."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
