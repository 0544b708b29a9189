"""What the pipeline's threads ask of a stage; an operator is anything that does one of these.

To add an operator: its value and reader in `edgeform_runtime/pipeline/<stage>.py` and
`edgeform/domain/stages/<stage>.py` with `edgeform/spec/operators/<stage>.py`, its definition in
`schemas/`, its class in `stages/<stage>/`, one line in the stage's table (`sources`, `sinks`, ...).
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Tuple

from edgeform_runtime.arrays import Array
from edgeform_runtime.frames import Frame, Inferred


@dataclass(frozen=True)
class Place:
    """Where a stage runs: the prefix of all relative paths, and the pipeline's name."""

    prefix: str
    pipeline: str


@dataclass(frozen=True)
class Seen:
    """What the model was shown, for those that must lead its answer back to where it came from.

    Args:
        feeds: the input tensors.
        frame_px: (width, height) of the picture before any preprocessing; None when it was none.
        text, spans: the text, and (start, end) of each token in it; a token without text is (0, 0).
    """

    feeds: Mapping[str, Array]
    frame_px: Optional[Tuple[int, int]] = None
    text: Optional[str] = None
    spans: Tuple[Tuple[int, int], ...] = field(default=())


class Source(Protocol):
    """Yields frames on a thread of its own until it is told to stop."""

    def frames(self, on_failure: Callable[[str], None]) -> Iterator[Frame]:
        """Frames until the stop event; `on_failure` gets one word for each input that was lost."""


class Postprocessor(Protocol):
    """Makes a result of a model's outputs; pure, called by one thread at a time."""

    def result(self, outputs: Mapping[str, Array], seen: Seen) -> Dict[str, Any]:
        """A JSON object whose `kind` says what else is in it.

        Raises:
            InferenceFailed: outputs that cannot be right.
        """


class Sink(Protocol):
    """Does something with each result."""

    @property
    def kind(self) -> str:
        """The operator's name, a label of metrics."""

    def write(self, inferred: Inferred) -> None:
        """Do it, or raise OSError; the caller counts that and goes on."""


class Reporter(Protocol):
    """Collects results and tells about them every so often."""

    @property
    def every_s(self) -> float:
        """Seconds between two reports."""

    def add(self, inferred: Inferred) -> None:
        """Count one result."""

    def write(self) -> None:
        """Tell about the period that ends now, and begin the next."""
