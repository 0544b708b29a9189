"""What outputs have in common: a value that is held while results come, and a fail-safe value otherwise."""

import time
from typing import Callable, Optional, Sequence

from edgeform_runtime.frames import Inferred
from edgeform_runtime.guardian import FailSafe, Guard

CLOSE_S = 2.0


class HeldSink:
    """Sets the value, holds it for `hold_s` after the last result, then sets the fail-safe one.

    When this process ends, however, the guardian sets the fail-safe value.

    Args:
        hold, release: set the two values; raise OSError when nobody takes them, and are asked again.
        fail_safes: what the guardian must do.
    """

    def __init__(
        self,
        kind: str,
        hold_s: float,
        *,
        hold: Callable[[], None],
        release: Callable[[], None],
        fail_safes: Callable[[], Sequence[FailSafe]],
    ) -> None:
        self.kind = kind
        self._hold_s, self._hold, self._release = hold_s, hold, release
        self._fail_safes = fail_safes
        self._guard: Optional[Guard] = None
        self._until: Optional[float] = None

    def write(self, inferred: Inferred) -> None:
        """Raises OSError when nobody takes the value."""
        del inferred
        if self._guard is None or not self._guard.is_alive:
            self._guard = Guard(self._fail_safes())
        self._until = time.monotonic() + self._hold_s
        self._hold()

    def idle(self) -> None:
        """Let go when the time is over; raises OSError, and is asked again."""
        if self._until is not None and time.monotonic() >= self._until:
            self._release()
            self._until = None

    def close(self) -> None:
        if self._guard is not None:
            self._guard.close(CLOSE_S)
