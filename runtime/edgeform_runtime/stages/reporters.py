"""The reporter of a report stage: one line per operator, imported only where it is used."""

from typing import Any, Callable, Dict

from edgeform_runtime.pipeline.report import Remote, Report, ReportLines
from edgeform_runtime.stages.contract import Place, Reporter


def reporter_of(stage: Report, place: Place, number: int = 0) -> Reporter:
    """What tells about the pipeline; `number` tells reports of one pipeline apart."""
    return _REPORTERS[type(stage)](stage, place, number)


def _json_lines(stage: ReportLines, place: Place, number: int) -> Reporter:
    from edgeform_runtime.stages.report.summary import (  # noqa: PLC0415 - only where it is used
        SummaryLines,
    )

    del number
    return SummaryLines(place.pipeline, stage.every_s)


def _remote(stage: Remote, place: Place, number: int) -> Reporter:
    from edgeform_runtime.stages.report.remote import (  # noqa: PLC0415 - only where it is used
        RemoteReporter,
    )

    return RemoteReporter(stage, place, number)


_REPORTERS: Dict[type, Callable[[Any, Place, int], Reporter]] = {
    ReportLines: _json_lines,
    Remote: _remote,
}
