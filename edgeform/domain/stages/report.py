"""What is told about the pipeline: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar

from edgeform.domain.stages.broker import Broker


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLines:
    """Write a summary as JSON Lines to the service's log every so often."""

    kind: ClassVar[str] = "json_lines"
    every_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMqtt:
    """Reports below `edgeform/v1/<site>/<device>/`, spooled on disk until the broker has them."""

    kind: ClassVar[str] = "mqtt"
    broker: Broker
    every_s: float = 60.0
    spool_bytes: int = 16 * 1024 * 1024
    commands: tuple[str, ...] | None = None
    """What may be asked for through the broker: report, status, capture; None is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAws:
    """AWS IoT Core: the named shadow `edgeform`; receipts below the plain topics."""

    kind: ClassVar[str] = "aws_iot"
    broker: Broker
    thing: str | None = None
    every_s: float = 60.0
    spool_bytes: int = 16 * 1024 * 1024
    commands: tuple[str, ...] | None = None
    """What may be asked for through the broker: report, status, capture; None is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAzure:
    """Azure IoT Hub: telemetry, and the device's twin."""

    kind: ClassVar[str] = "azure_iot"
    broker: Broker
    device_id: str | None = None
    every_s: float = 60.0
    spool_bytes: int = 16 * 1024 * 1024
    commands: tuple[str, ...] | None = None
    """What may be asked for through the broker: report, status, capture; None is nothing."""


Report = ReportLines | ReportMqtt | ReportAws | ReportAzure
