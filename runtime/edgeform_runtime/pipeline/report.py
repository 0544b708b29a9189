"""What is told about the pipeline, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict

from edgeform_runtime.pipeline.bounds import at_least
from edgeform_wire.fields import Fields


@dataclass(frozen=True)
class ReportLines:
    every_s: float


Report = ReportLines


def _json_lines(fields: Fields) -> ReportLines:
    return ReportLines(every_s=at_least(fields.number("every_s", 60.0), 0.1, "json_lines.every_s"))


OPERATORS: Dict[str, Callable[[Fields], Report]] = {"json_lines": _json_lines}
