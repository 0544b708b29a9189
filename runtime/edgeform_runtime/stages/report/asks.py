"""What somebody at the broker may ask a pipeline for: nothing that changes it. Pure values.

An update is a signed deployment that the device tool takes; no message here can install, start or stop
anything. What may be asked: `report` (now), `status` (what runs, how the update stands), `capture` (keep
what is in the ring of recent inputs; nothing is sent).
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Tuple

from edgeform_runtime.pipeline.report import COMMANDS

REPORT, STATUS, CAPTURE = "report", "status", "capture"
OK, WRONG, FORBIDDEN, UNKNOWN, BUSY, FAILED, ABSENT = 200, 400, 403, 404, 429, 500, 501
MAX_REASON = 200


@dataclass(frozen=True)
class Ask:
    """One question.

    Args:
        via: how it came and so how it is answered: job, method, desired or topic.
        token: what the answer must carry: a job's id, a request's number, an id.
        version: of a job's execution.
    """

    operation: str
    via: str
    token: str
    version: int = 0


@dataclass(frozen=True)
class Answer:
    """What came of it; `status` is as in HTTP."""

    status: int
    body: Mapping[str, Any]

    @property
    def is_ok(self) -> bool:
        return self.status < WRONG


Handler = Callable[[], Mapping[str, Any]]


class Desk:
    """Answers questions by what is registered, as far as the stage allows them.

    `register` is how another part of the runtime offers an operation, as the ring of captures does.
    """

    def __init__(self) -> None:
        self._handlers: Dict[str, Handler] = {}

    def register(self, operation: str, handler: Handler) -> None:
        """`handler` gives the answer's body, or raises OSError with why it could not."""
        if operation not in COMMANDS:
            raise ValueError(f"{operation!r} is none of {', '.join(COMMANDS)}")
        self._handlers[operation] = handler

    def answer(self, ask: Ask, allowed: Tuple[str, ...], more: Mapping[str, Handler]) -> Answer:
        """The answer; `more` are the reporter's own handlers."""
        if ask.operation not in COMMANDS:
            return _no(
                UNKNOWN, f"there is no {ask.operation!r:.60}; updates come as signed deployments"
            )
        if ask.operation not in allowed:
            return _no(FORBIDDEN, f"the pipeline's report does not allow {ask.operation}")
        handler = more.get(ask.operation) or self._handlers.get(ask.operation)
        if handler is None:
            return _no(ABSENT, f"this pipeline has nothing to do for {ask.operation}")
        try:
            return Answer(OK, dict(handler()))
        except OSError as exc:
            return _no(FAILED, exc.strerror or str(exc))


def _no(status: int, reason: str) -> Answer:
    return Answer(status, {"reason": reason[:MAX_REASON]})
