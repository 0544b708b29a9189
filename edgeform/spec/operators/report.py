"""Report operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.report import (
    Report,
    ReportAws,
    ReportAzure,
    ReportLines,
    ReportMqtt,
)
from edgeform.spec.fields import Mapping, block, number_or, size_or, text, texts
from edgeform.spec.operators.broker import broker

SPOOL_BYTES = 16 * 1024 * 1024


def _json_lines(spec: Mapping) -> ReportLines:
    return ReportLines(every_s=number_or(spec, "every_s", 60.0))


def _mqtt(spec: Mapping) -> ReportMqtt:
    return ReportMqtt(
        broker=broker(block(spec, "broker")),
        every_s=number_or(spec, "every_s", 60.0),
        spool_bytes=size_or(spec, "spool_bytes", SPOOL_BYTES),
        commands=_commands(spec),
    )


def _aws_iot(spec: Mapping) -> ReportAws:
    return ReportAws(
        broker=broker(block(spec, "broker")),
        thing=text(spec, "thing"),
        every_s=number_or(spec, "every_s", 60.0),
        spool_bytes=size_or(spec, "spool_bytes", SPOOL_BYTES),
        commands=_commands(spec),
    )


def _azure_iot(spec: Mapping) -> ReportAzure:
    return ReportAzure(
        broker=broker(block(spec, "broker")),
        device_id=text(spec, "device_id"),
        every_s=number_or(spec, "every_s", 60.0),
        spool_bytes=size_or(spec, "spool_bytes", SPOOL_BYTES),
        commands=_commands(spec),
    )


def _commands(spec: Mapping) -> tuple[str, ...] | None:
    return texts(spec, "commands") if "commands" in spec else None


OPERATORS: dict[str, Callable[[Mapping], Report]] = {
    "json_lines": _json_lines,
    "mqtt": _mqtt,
    "aws_iot": _aws_iot,
    "azure_iot": _azure_iot,
}
