"""The thermal ladder: a hot pipeline does less, says so each time, and comes back by itself.

It goes up as soon as a rung's temperature is reached, also over several rungs at once, and down one rung at
a time, when it has been cooler by the hysteresis for the hold time. A sensor that is gone holds the rung.
"""

import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

from edgeform_runtime.logs import log
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline.beside import PAUSE, SLOW, SMALLER, Rung, Thermal
from edgeform_wire.vitals.heat import Temperature

EVERY_S = 1.0
NONE = "none"


@dataclass(frozen=True)
class Position:
    """Where on the ladder it stands; `index` 0 is beside it.

    Args:
        cool_since_s: since when it has been cool enough for one rung less; None while it is not.
    """

    index: int = 0
    cool_since_s: Optional[float] = None


def moved(ladder: Thermal, before: Position, celsius: Optional[float], now_s: float) -> Position:
    """The position after a look at the sensor; pure."""
    if celsius is None:
        return Position(before.index)
    reached = sum(celsius >= rung.celsius for rung in ladder.rungs)
    if reached > before.index:
        return Position(reached)
    if before.index == 0:
        return before
    limit = ladder.rungs[before.index - 1].celsius - ladder.hysteresis_celsius
    if celsius > limit:
        return Position(before.index)
    since = now_s if before.cool_since_s is None else before.cool_since_s
    if now_s - since < ladder.hold_s:
        return Position(before.index, since)
    return Position(before.index - 1)


def reading(ladder: Thermal, sensors: Tuple[Temperature, ...]) -> Optional[float]:
    """The temperature that counts; None when the sensor is not there."""
    wanted = [s.celsius for s in sensors if ladder.sensor in ("", s.name)]
    return max(wanted) if wanted else None


class Governor:
    """What the ladder allows now; asked by the threads of a pipeline, moved by `look` about once a second.

    Args:
        sensors: gives what there is at this moment. on_change: gets a sentence for `last_error`.
    """

    def __init__(
        self,
        ladder: Optional[Thermal],
        metrics: Metrics,
        sensors: Callable[[], Tuple[Temperature, ...]],
        on_change: Callable[[str], None],
    ) -> None:
        self._ladder, self._metrics = ladder, metrics
        self._sensors, self._on_change = sensors, on_change
        self._lock = threading.Lock()
        self._position = Position()
        self._celsius: Optional[float] = None
        self._is_blind = False
        self._since_s: Optional[float] = None
        if ladder is not None:
            metrics.thermal.set(0.0)

    @property
    def rung(self) -> str:
        index = self._position.index
        return self._ladder.rungs[index - 1].name if self._ladder is not None and index else NONE

    @property
    def is_paused(self) -> bool:
        return self._stands_on(PAUSE) is not None

    @property
    def uses_smaller(self) -> bool:
        return self._stands_on(SMALLER) is not None

    @property
    def fps(self) -> Optional[float]:
        """How many frames a second are allowed; None for as many as come."""
        slow = self._stands_on(SLOW)
        return None if slow is None else slow.fps

    def to_json(self) -> Optional[Dict[str, Any]]:
        """For state, reports and health; None without a ladder."""
        if self._ladder is None:
            return None
        return {"rung": self.rung, "celsius": self._celsius, "why": self._why()}

    def look(self, now_s: float) -> None:
        """Read the sensor and move; every change is logged, counted and told."""
        ladder = self._ladder
        if ladder is None:
            return
        celsius = reading(ladder, self._sensors())
        with self._lock:
            before, self._celsius = self._position, celsius
            self._position = moved(ladder, before, celsius, now_s)
        self._see(celsius)
        if self._position.index != before.index:
            self._tell(ladder, before.index)

    def _see(self, celsius: Optional[float]) -> None:
        self._metrics.thermal_sensor.set(0.0 if celsius is None else 1.0)
        if (celsius is None) != self._is_blind:
            self._is_blind = celsius is None
            if self._is_blind:
                self._on_change(f"thermal: no sensor; it stays at {self.rung}")
            log(
                "warning" if self._is_blind else "info",
                "thermal_sensor",
                is_there=not self._is_blind,
            )

    def _tell(self, ladder: Thermal, before: int) -> None:
        was = ladder.rungs[before - 1].name if before else NONE
        self._metrics.thermal.set(float(self._position.index))
        self._metrics.thermal_changes.add(rung=self.rung)
        log("warning", "thermal_rung", before=was, rung=self.rung, why=self._why())
        self._on_change(f"thermal: {was} -> {self.rung}: {self._why()}")

    def _why(self) -> str:
        index, celsius = self._position.index, self._celsius
        if self._ladder is None or not index:
            return "cool enough"
        at = self._ladder.rungs[index - 1].celsius
        seen = "the sensor is gone" if celsius is None else f"{celsius:.1f} °C"
        return f"{seen}; {self.rung} begins at {at:g} °C and ends {self._ladder.hysteresis_celsius:g} below"

    def _stands_on(self, name: str) -> Optional[Rung]:
        if self._ladder is None:
            return None
        below = self._ladder.rungs[: self._position.index]
        return next((rung for rung in below if rung.name == name), None)
