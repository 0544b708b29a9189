"""What is told about the pipeline: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLines:
    """Write a summary as JSON Lines to the service's log every so often."""

    kind: ClassVar[str] = "json_lines"
    every_s: float = 60.0


Report = ReportLines
