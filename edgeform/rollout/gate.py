"""Whether a rollout goes on, from the outcomes so far: pure, and never kinder with more failures."""

from collections.abc import Iterable
from enum import StrEnum

from edgeform.apply.outcome import Helpless, Outcome


class Verdict(StrEnum):
    GO = "go"
    STOP = "stop"


def judge(outcomes: Iterable[Outcome]) -> Verdict:
    """STOP at the first device that needs hands: what did that to one may do it to the next."""
    return Verdict.STOP if any(isinstance(o, Helpless) for o in outcomes) else Verdict.GO
