"""Postprocess operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.postprocess import Classify, Postprocess
from edgeform.spec.fields import Mapping, boolean_or, integer_or, number_or, text


def _classify(spec: Mapping) -> Classify:
    return Classify(
        top_k=integer_or(spec, "top_k", 1),
        softmax=boolean_or(spec, "softmax", default=True),
        labels=text(spec, "labels"),
        threshold=number_or(spec, "threshold", 0.0),
    )


OPERATORS: dict[str, Callable[[Mapping], Postprocess]] = {"classify": _classify}
