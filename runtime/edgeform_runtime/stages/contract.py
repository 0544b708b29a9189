"""What the pipeline's threads ask of a stage; an operator is anything that does one of these.

To add an operator: its value and reader in `edgeform_runtime/pipeline/<stage>.py` and
`edgeform/domain/stages/<stage>.py` with `edgeform/spec/operators/<stage>.py`, its definition in
`schemas/`, its class in `stages/<stage>/`, one line in the stage's table (`sources`, `sinks`, ...).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Tuple

from edgeform_runtime.arrays import Array
from edgeform_runtime.errors import RuntimeFault
from edgeform_runtime.frames import Frame, Inferred
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.pipeline.stages import OPEN
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.mqtt.links import Links
from edgeform_runtime.stages.report.asks import Desk

if TYPE_CHECKING:
    from edgeform_runtime.stages.mqtt.link import Link


@dataclass(frozen=True)
class Place:
    """Where a stage runs: the prefix of all relative paths, whose pipeline it is, and its secrets."""

    prefix: str
    pipeline: str
    site: str = ""
    device: str = ""
    secrets: Secrets = field(default_factory=lambda: Secrets((), ""))
    generation: int = 0
    generation_digest: str = ""
    model_ref: str = ""
    metrics: Optional[Metrics] = None
    links: Links = field(default_factory=Links)
    desk: Desk = field(default_factory=Desk)
    """Who answers what is asked through reports; other parts register what they can do."""
    egress: str = OPEN
    live: Optional[Callable[[], Tuple[int, str, str]]] = None

    condition: Callable[[], Dict[str, Any]] = dict
    """What else a report says of the pipeline at this moment: its thermal rung, its shadow."""

    def sent(self, kind: str, destination: str, size_bytes: int) -> None:
        """Count what left the device: payload, without what the network adds."""
        if self.metrics is not None:
            self.metrics.egress.add(float(size_bytes), kind=kind, destination=destination)

    def serving(self) -> Tuple[int, str, str]:
        """(generation, its digest, model) of what serves now, which a swap may have changed."""
        if self.live is None:
            return self.generation, self.generation_digest, self.model_ref
        return self.live()

    def link(self, broker: Broker) -> "Link":
        """The pipeline's one connection to this broker."""
        name = f"edgeform-{self.device}-{self.pipeline}"
        return self.links.of(broker, self.secrets, name)


class Refused(RuntimeFault):
    """Whoever should take a result will never take it; another attempt is of no use."""

    code = "refused"


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Notices:
    """What a source tells beside its frames.

    Args:
        failed: an input was there and could not be taken (one word). lost: the source went away (one
            word, and a sentence). found: it is there, for the first time or again. alive: it waits, and is
            not stuck; a source that calls it once is expected to go on.
    """

    failed: Callable[[str], None]
    lost: Callable[[str, str], None]
    found: Callable[[], None]
    alive: Callable[[], None] = _nothing


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

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """Frames until the stop event; what goes wrong meanwhile is told, never raised."""


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
        """Do it, or raise OSError or `Refused`; the caller counts that and goes on."""

    def idle(self) -> None:
        """Asked about twice a second while no result waits, on a lane; may raise OSError."""

    def close(self) -> None:
        """Give up what is kept open."""


class Reporter(Protocol):
    """Collects results and tells about them every so often."""

    @property
    def every_s(self) -> float:
        """Seconds between two reports."""

    def start(self) -> None:
        """The pipeline serves."""

    def add(self, inferred: Inferred) -> None:
        """Count one result."""

    def write(self) -> None:
        """Tell about the period that ends now, and begin the next."""

    def close(self, timeout_s: float) -> None:
        """Send what can be sent in that time, and give up what is kept open."""
