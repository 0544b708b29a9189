"""The source of a capture stage: one line per operator, imported only where it is used."""

import threading
from typing import Any, Callable, Dict

from edgeform_runtime.pipeline.capture import Capture, HttpPush, ImageDirectory
from edgeform_runtime.stages.contract import Place, Source


def is_pushed(stage: Capture) -> bool:
    """Whether frames come through the pipeline's own server, so that no thread fetches them."""
    return isinstance(stage, HttpPush)


def source_of(stage: Capture, place: Place, stop: threading.Event) -> Source:
    """The stage's source; its frames end soon after `stop` is set."""
    return _SOURCES[type(stage)](stage, place, stop)


def _directory(stage: ImageDirectory, place: Place, stop: threading.Event) -> Source:
    from edgeform_runtime.stages.capture.directory import (  # noqa: PLC0415 - only where it is used
        DirectorySource,
    )

    return DirectorySource(stage, place.prefix, stop)


_SOURCES: Dict[type, Callable[[Any, Place, threading.Event], Source]] = {
    ImageDirectory: _directory,
}
