"""Which topics and payloads a broker expects: plain MQTT, AWS IoT Core, Azure IoT Hub. Pure functions.

Sources: AWS IoT Core developer guide, `device-shadow-mqtt` and `device-shadow-document` (8 KB a document);
Azure IoT Hub, `iot-mqtt-connect-to-iot-hub` (api-version 2021-04-12).
"""

import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

from edgeform_runtime.stages.contract import Place

SHADOW_BYTES = 6 * 1024
"""Below the 8 KB that AWS takes, so that its own metadata has room."""
AZURE_API = "2021-04-12"
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

    def client_id(self, number: int) -> str:
        if self.kind == "plain":
            return f"edgeform-{self.place.device}-{self.place.pipeline}-report-{number}"
        return self.name

    def username(self, host: str) -> str:
        """The form that the hub demands; empty where the broker's own stands."""
        return f"{host}/{self.name}/?api-version={AZURE_API}" if self.kind == "azure_iot" else ""

    def report(self, report: Mapping[str, Any]) -> Tuple[Outgoing, ...]:
        """The messages that tell a report."""
        if self.kind == "aws_iot":
            topic = f"$aws/things/{self.name}/shadow/name/edgeform/update"
            return (Outgoing(topic, self._shadow(report)),)
        if self.kind == "azure_iot":
            twin = {"edgeform": _state(report)}
            topic = f"$iothub/twin/PATCH/properties/reported/?$rid={report['seq']}"
            return (Outgoing(self._events("report"), _json(report)), Outgoing(topic, _json(twin)))
        return (Outgoing(f"{self._base}/{self.place.pipeline}/report", _json(report)),)

    def receipt(self, line: bytes) -> Outgoing:
        """The message that carries a receipt, as it stands in the device's file, signature included."""
        if self.kind == "azure_iot":
            return Outgoing(self._events("receipt"), line)
        return Outgoing(f"{self._base}/receipt", line)

    def answers(self) -> Tuple[str, ...]:
        """Topics on which the broker says that it did not like a message."""
        if self.kind == "aws_iot":
            return (f"$aws/things/{self.name}/shadow/name/edgeform/update/rejected",)
        if self.kind == "azure_iot":
            return ("$iothub/twin/res/#", "$iothub/methods/POST/#")
        return ()

    @property
    def _base(self) -> str:
        return f"edgeform/v1/{self.place.site}/{self.place.device}"

    def _events(self, kind: str) -> str:
        properties = f"$.ct=application%2Fjson&$.ce=utf-8&type={kind}"
        return f"devices/{self.name}/messages/events/{properties}"

    def _shadow(self, report: Mapping[str, Any]) -> bytes:
        state = _state(report)
        token = f"{self.place.pipeline}-{report['seq']}"
        found = _json({"state": {"reported": state}, "clientToken": token[-64:]})
        if len(found) <= SHADOW_BYTES:
            return found
        name = self.place.pipeline
        state["pipelines"] = {name: {"model": state["pipelines"][name]["model"]}}
        return _json({"state": {"reported": state}, "clientToken": token[-64:]})


def method_answer(topic: str) -> str:
    """Where to say that there is no such method, for a call on `$iothub/methods/POST/<name>/?$rid=<n>`."""
    _, _, rid = topic.partition("?$rid=")
    return f"$iothub/methods/res/404/?$rid={rid}"


def _state(report: Mapping[str, Any]) -> Dict[str, Any]:
    """The device's state: maps and no lists, because twins and shadows merge maps."""
    summary = {name: report[name] for name in SUMMARY if name in report}
    return {
        "schema": 1,
        "generation": report["generation"],
        "digest": report["generation_digest"],
        "update": report["update"],
        "seq": report["seq"],
        "pipelines": {report["pipeline"]: summary},
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
