"""The reporter of a report stage: one line per operator, imported only where it is used."""

from typing import Any, Callable, Dict

from edgeform_runtime.pipeline.report import Report, ReportLines
from edgeform_runtime.stages.contract import Place, Reporter


def reporter_of(stage: Report, place: Place) -> Reporter:
    """What tells about the pipeline."""
    return _REPORTERS[type(stage)](stage, place)


def _json_lines(stage: ReportLines, place: Place) -> Reporter:
    from edgeform_runtime.stages.report.summary import (  # noqa: PLC0415 - only where it is used
        SummaryLines,
    )

    return SummaryLines(place.pipeline, stage.every_s)


_REPORTERS: Dict[type, Callable[[Any, Place], Reporter]] = {ReportLines: _json_lines}
