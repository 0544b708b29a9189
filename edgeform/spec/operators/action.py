"""Action operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.action import Action, StoreLocally
from edgeform.spec.fields import Mapping, number_or, size_or, text_or


def _store(spec: Mapping) -> StoreLocally:
    return StoreLocally(
        directory=text_or(spec, "directory", "results"),
        max_bytes=size_or(spec, "max_bytes", 64 * 1024 * 1024),
        max_age_s=number_or(spec, "max_age_s", 7 * 86400.0),
        frames=text_or(spec, "frames", "none"),
    )


OPERATORS: dict[str, Callable[[Mapping], Action]] = {"store": _store}
