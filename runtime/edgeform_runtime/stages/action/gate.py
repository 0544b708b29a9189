"""When an action may act: a rule that holds, for long enough, and not again too soon."""

from typing import Any, Mapping, Optional

from edgeform_runtime.pipeline.action import Trigger
from edgeform_wire.rules import Rule, Vocabulary, is_true, parse


class Gate:
    """Judges results one after the other; the time is an argument, of a clock that never jumps.

    Raises:
        RuleError: the rule cannot be read; `stages_of` has refused it before.
    """

    def __init__(self, trigger: Trigger, vocabulary: Vocabulary) -> None:
        self._trigger, self._vocabulary = trigger, vocabulary
        when = trigger.when
        self._rule: Optional[Rule] = None if when is None else parse(when, vocabulary)
        self._held_since: Optional[float] = None
        self._acted_at: Optional[float] = None

    def opens(self, result: Mapping[str, Any], now: float) -> bool:
        """Whether to act on this result, captured at `now`."""
        if self._rule is not None and not is_true(self._rule, self._vocabulary, result):
            self._held_since = None
            return False
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since < self._trigger.for_s:
            return False
        if self._acted_at is not None and now - self._acted_at < self._trigger.cooldown_s:
            return False
        self._acted_at = now
        return True
