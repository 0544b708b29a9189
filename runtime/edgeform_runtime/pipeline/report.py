"""What is told about the pipeline, as values: one dataclass and one reader per operator."""

import re
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple, Union

from edgeform_runtime.pipeline.bounds import among, at_least
from edgeform_runtime.pipeline.broker import Broker, broker_of
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

MIN_SPOOL_BYTES = 64 * 1024
COMMANDS = ("report", "status", "capture")
_NAME = re.compile(r"[A-Za-z0-9:_.-]{1,128}")


@dataclass(frozen=True)
class ReportLines:
    every_s: float


@dataclass(frozen=True)
class Remote:
    """What the reports to a broker have in common; `profile` is plain, aws_iot or azure_iot.

    Args:
        name: of the device there; None takes the device's own.
    """

    profile: str
    broker: Broker
    name: Optional[str]
    every_s: float
    spool_bytes: int
    commands: Tuple[str, ...] = ()
    """What may be asked for through the broker."""


Report = Union[ReportLines, Remote]


def _json_lines(fields: Fields) -> ReportLines:
    return ReportLines(every_s=at_least(fields.number("every_s", 60.0), 0.1, "json_lines.every_s"))


def _remote(fields: Fields, profile: str, name: Optional[str]) -> Remote:
    if name is not None and _NAME.fullmatch(name) is None:
        raise WireError(f"{profile}: {name!r:.140} is no name of a device there")
    return Remote(
        profile=profile,
        broker=broker_of(fields),
        name=name,
        every_s=at_least(fields.number("every_s", 60.0), 0.1, f"{profile}.every_s"),
        spool_bytes=fields.integer("spool_bytes", MIN_SPOOL_BYTES, 16 * 1024 * 1024),
        commands=_commands(fields, profile),
    )


def _commands(fields: Fields, profile: str) -> Tuple[str, ...]:
    found = fields.texts("commands", default=True)
    return tuple(among(name, COMMANDS, f"{profile}.commands") for name in found)


OPERATORS: Dict[str, Callable[[Fields], Report]] = {
    "json_lines": _json_lines,
    "mqtt": lambda fields: _remote(fields, "plain", None),
    "aws_iot": lambda fields: _remote(fields, "aws_iot", fields.optional_text("thing")),
    "azure_iot": lambda fields: _remote(fields, "azure_iot", fields.optional_text("device_id")),
}
