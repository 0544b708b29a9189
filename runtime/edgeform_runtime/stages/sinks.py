"""The sink of an action stage: one line per operator, imported only where it is used."""

from typing import Any, Callable, Dict

from edgeform_runtime.pipeline.action import Action, StoreLocally
from edgeform_runtime.stages.contract import Place, Sink


def sink_of(stage: Action, place: Place) -> Sink:
    """What carries the action out."""
    return _SINKS[type(stage)](stage, place)


def _store(stage: StoreLocally, place: Place) -> Sink:
    from edgeform_runtime.stages.action.store import (  # noqa: PLC0415 - only where it is used
        ResultStore,
    )

    return ResultStore(stage, place.prefix, place.pipeline)


_SINKS: Dict[type, Callable[[Any, Place], Sink]] = {StoreLocally: _store}
