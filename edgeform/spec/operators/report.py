"""Report operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.report import Report, ReportLines
from edgeform.spec.fields import Mapping, number_or


def _json_lines(spec: Mapping) -> ReportLines:
    return ReportLines(every_s=number_or(spec, "every_s", 60.0))


OPERATORS: dict[str, Callable[[Mapping], Report]] = {"json_lines": _json_lines}
