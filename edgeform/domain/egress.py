"""What leaves a device, by its pipelines: each destination, its fields, and how much at most. Pure.

Bytes are of payloads as the runtime writes them, from a sample of the same form, without what MQTT, HTTP, TLS
and IP add, and without attempts that had to be repeated. A detector's sample has ten detections.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from edgeform.domain.pipeline import RESULTS_ONLY, Pipeline
from edgeform.domain.site import Device
from edgeform.domain.stages import capture as captures
from edgeform.domain.stages.action import (
    Action,
    Email,
    Gpio,
    ModbusWrite,
    MqttPublish,
    OpcUaWrite,
    Remote,
    StoreLocally,
    Webhook,
)
from edgeform.domain.stages.broker import Broker
from edgeform.domain.stages.postprocess import Classify
from edgeform.domain.stages.report import Report, ReportAws, ReportAzure, ReportLines

DAY_S = 86400.0
TYPICAL_DETECTIONS = 10
MAIL_BYTES = 700
"""Headers and the indentation of a mail, beside its result."""
OUTPUT_BYTES = 12
"""A Modbus request. Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b §3.1.3."""
OPC_UA_BYTES = 4096
"""A secure session and one write, as the test's server saw it, rounded up."""
HEAD = ("site", "device", "pipeline", "generation", "model", "frame", "sequence", "captured_at")
REPORT = (
    "site",
    "device",
    "pipeline",
    "time",
    "boot_id",
    "boot_s",
    "generation",
    "generation_digest",
    "model",
    "update",
    "period_s",
    "results",
    "labels",
    "p50_ms",
    "p95_ms",
    "failed",
    "dropped",
    "seq",
    "gap",
)
_ITEM = {
    "classify": ("classes", ("index", "label", "score")),
    "yolov8": ("detections", ("index", "label", "score", "box")),
    "anchors": ("detections", ("index", "label", "score", "box")),
    "ner": ("entities", ("label", "score", "first", "last", "text", "start", "end")),
}
_FLAT = {"threshold": ("value", "is_over"), "anomaly": ("score", "is_anomaly")}
_OF_INPUT = ("frame", "entities.text")
"""Fields that hold something of an input: a file's name, the words of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One way out of a device.

    Args:
        pipeline: empty for what edgeform itself gives when it is asked. via: the stage's kind.
        protection: tls, none, or the words of the protocol. fields: what is in each message.
        left_out: what the policy keeps back. messages_per_day: at most; None where nothing bounds it.
        message_bytes: of one; None where it cannot be said.
    """

    device: str
    pipeline: str
    via: str
    destination: str
    protection: str
    fields: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    messages_per_day: float | None = None
    message_bytes: int | None = None

    @property
    def bytes_per_day(self) -> int | None:
        """At most; None where nothing bounds it."""
        if self.messages_per_day is None or self.message_bytes is None:
            return None
        return round(self.messages_per_day * self.message_bytes)


def flows_of(device: Device, site: str) -> tuple[Flow, ...]:
    """Everything that leaves the device, pipelines in their order."""
    found = [flow for p in device.pipelines for flow in _of_pipeline(device, p, site)]
    if device.connect.mode == "ssh":
        found.append(
            Flow(
                device=device.name,
                pipeline="",
                via="ssh",
                destination="the controller, when it asks",
                protection="ssh",
                fields=("facts", "state", "health", "receipts", "logs"),
            )
        )
    return tuple(found)


def _of_pipeline(device: Device, pipeline: Pipeline, site: str) -> Iterator[Flow]:
    for action in pipeline.actions:
        yield from _of_action(device, pipeline, action, site)
    for report in pipeline.report:
        yield from _of_report(device, pipeline, report, site)
    yield from _of_capture(device, pipeline)
    serving = pipeline.serving
    if serving.port and not serving.is_local:
        yield Flow(
            device=device.name,
            pipeline=pipeline.name,
            via="serving",
            destination=f"whoever connects to {serving.address}:{serving.port}",
            protection="none",
            fields=("answers to their own tensors", "metrics"),
        )


def _of_action(device: Device, pipeline: Pipeline, action: Action, site: str) -> Iterator[Flow]:
    if isinstance(action, (StoreLocally, Gpio)):
        return
    fields, left_out = _result_fields(pipeline)
    size = len(json.dumps(_result(device, pipeline, site)))
    match action:
        case Webhook(url=url):
            parts = urlsplit(url)
            where, protection = parts.netloc, "tls" if parts.scheme == "https" else "none"
        case MqttPublish(broker=broker, topic=topic):
            where, protection = f"{_at(broker)} {topic}", _protected(broker)
        case Email(host=host, port=port, to=to):
            where = f"{', '.join(to)} through {host}:{port}"
            protection = "none" if action.security == "none" else "tls"
            size += MAIL_BYTES
        case ModbusWrite(host=host, port=port, value=value, fail_safe=fail_safe):
            where, protection = f"{host}:{port}", "none"
            fields, left_out, size = (f"{value} or {fail_safe}",), (), OUTPUT_BYTES
        case OpcUaWrite(url=url, value=level, fail_safe=safe):
            where, protection = urlsplit(url).netloc, action.security
            fields, left_out, size = (f"{level:g} or {safe:g}",), (), OPC_UA_BYTES
    yield Flow(
        device=device.name,
        pipeline=pipeline.name,
        via=action.kind,
        destination=where,
        protection=protection,
        fields=fields,
        left_out=left_out,
        messages_per_day=_per_day(pipeline, action),
        message_bytes=size,
    )


def _of_report(device: Device, pipeline: Pipeline, report: Report, site: str) -> Iterator[Flow]:
    if isinstance(report, ReportLines):
        return
    size = len(json.dumps(_report(device, pipeline, site)))
    per_day = DAY_S / report.every_s
    name: str = device.name
    if isinstance(report, ReportAws):
        name = report.thing or name
    elif isinstance(report, ReportAzure):
        name, size = report.device_id or name, 2 * size  # telemetry and the twin
    where = _at(report.broker) + (f" as {name}" if report.kind != "mqtt" else "")
    flow = Flow(
        device=device.name,
        pipeline=pipeline.name,
        via=f"{report.kind} report",
        destination=where,
        protection=_protected(report.broker),
        fields=REPORT,
        messages_per_day=per_day,
        message_bytes=size,
    )
    yield flow
    yield replace(
        flow,
        via=f"{report.kind} receipt",
        fields=("receipts, signed",),
        messages_per_day=None,
        message_bytes=None,
    )


def _of_capture(device: Device, pipeline: Pipeline) -> Iterator[Flow]:
    capture = pipeline.capture
    match capture:
        case captures.VideoStream(url=url):
            parts = urlsplit(url)
            where, is_safe = parts.netloc, parts.scheme in ("https", "rtsps")
        case captures.Mqtt(broker=broker):
            where, is_safe = _at(broker), broker.tls
        case captures.Modbus(host=host, port=port):
            where, is_safe = f"{host}:{port}", False
        case _:
            return
    yield Flow(
        device=device.name,
        pipeline=pipeline.name,
        via=f"{capture.kind} capture",
        destination=where,
        protection="tls" if is_safe else "none",
        fields=("requests only",),
    )


def _result_fields(pipeline: Pipeline) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what is sent, what the policy keeps back)."""
    kind = pipeline.postprocess.kind
    name, parts = _ITEM.get(kind, ("", ()))
    inner = tuple(f"{name}.{part}" for part in parts) or _FLAT.get(kind, ())
    every = (*HEAD, *inner)
    if pipeline.egress != RESULTS_ONLY:
        return every, ()
    return (
        tuple(field for field in every if field not in _OF_INPUT),
        tuple(field for field in every if field in _OF_INPUT),
    )


def _per_day(pipeline: Pipeline, action: Remote) -> float | None:
    """How often the action acts at most: as often as frames come, and not within its cooldown."""
    frames = _frames_per_day(pipeline.capture)
    quiet = DAY_S / action.cooldown_s if action.cooldown_s else None
    bounds = [bound for bound in (frames, quiet) if bound is not None]
    return min(bounds) if bounds else None


def _frames_per_day(capture: captures.Capture) -> float | None:
    match capture:
        case captures.ImageDirectory(interval_s=step):
            return DAY_S / step if step else None
        case captures.VideoFile(fps=fps) | captures.VideoStream(fps=fps) | captures.V4l2(fps=fps):
            return DAY_S * fps if fps else None
        case captures.Modbus(interval_s=step, window=window, hop=hop):
            return DAY_S / (step * (hop or window))
        case captures.Audio(length_s=length, hop_s=hop_s):
            return DAY_S / (hop_s or length)
        case _:
            return None


def _result(device: Device, pipeline: Pipeline, site: str) -> Mapping[str, object]:
    kind = pipeline.postprocess.kind
    name, parts = _ITEM.get(kind, ("", ()))
    sample = {
        "index": 10,
        "label": "forklift",
        "score": 0.123456789,
        "box": [100.12345678] * 4,
        "text": "Somebody",
    }
    item = {part: sample.get(part, 10) for part in parts}
    count = TYPICAL_DETECTIONS
    if isinstance(pipeline.postprocess, Classify):
        count = pipeline.postprocess.top_k
    inner: dict[str, object] = {"kind": kind, "value": 0.123456789, "is_over": False}
    if name:
        inner = {"kind": kind, "width": 1920, "height": 1080, name: [item] * count}
    head = dict.fromkeys(HEAD, 1760000000.123) | {"frame": "rtsp://camera.example/main#1"}
    where = {"site": site, "device": device.name, "pipeline": pipeline.name}
    return {"schema": "edgeform.result/1", **head, **where, "model": _MODEL, "result": inner}


def _report(device: Device, pipeline: Pipeline, site: str) -> Mapping[str, object]:
    values: dict[str, object] = dict.fromkeys(REPORT, 1760000000.123)
    where = {"site": site, "device": device.name, "pipeline": pipeline.name}
    labels = {f"label-{n}": 1000 for n in range(5)}
    update = {"state": "committed", "committed": 42}
    digest = "sha256:" + 64 * "0"
    return values | where | {
        "schema": "edgeform.report/1",
        "boot_id": 36 * "0",
        "generation_digest": digest,
        "model": _MODEL,
        "labels": labels,
        "update": update,
    }  # fmt: skip


_MODEL = "a-models-name@1.2.3/a-variant"


def _at(broker: Broker) -> str:
    return f"{broker.host}:{broker.port}"


def _protected(broker: Broker) -> str:
    return "tls" if broker.tls else "none"
