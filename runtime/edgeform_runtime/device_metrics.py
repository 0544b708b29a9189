"""The machine's own health in the metrics: looked at when somebody asks, at most every few seconds."""

import time
from typing import Callable, Iterable, Optional, Tuple

from edgeform_runtime.metrics import Counter, Metrics
from edgeform_runtime.stages.report.device import unclean_boots
from edgeform_wire.vitals import Vitals, vitals

FRESH_S = 5.0
GAUGE, COUNTER = "gauge", "counter"

Value = Tuple[str, Optional[float]]
"""(value of the label, number); no number where the machine does not tell."""
Reading = Callable[[Vitals], Iterable[Value]]


def _only(value: Optional[float]) -> Iterable[Value]:
    return (("", value),)


def _temperatures(found: Vitals) -> Iterable[Value]:
    return (
        *((t.name, t.celsius) for t in found.temperatures),
        *((a.name, a.celsius) for a in found.accelerators),
    )


READINGS: Tuple[Tuple[str, str, str, str, Reading], ...] = (
    ("temperature_celsius", "Temperature by sensor.", GAUGE, "sensor", _temperatures),
    (
        "slowed",
        "1 while the machine is slowed down, by cause.",
        GAUGE,
        "cause",
        lambda v: ((b.cause, b.is_now) for b in v.brakes),
    ),
    (
        "slowdowns_total",
        "Slowdowns since the boot, by cause.",
        COUNTER,
        "cause",
        lambda v: ((b.cause, b.events) for b in v.brakes),
    ),
    (
        "power_watts",
        "Power by rail.",
        GAUGE,
        "rail",
        lambda v: ((r.name, r.watts) for r in v.rails),
    ),
    (
        "memory_available_bytes",
        "Memory that a process could still have.",
        GAUGE,
        "",
        lambda v: _only(v.memory.available_bytes),
    ),
    (
        "oom_kills_total",
        "Processes that the kernel ended for want of memory.",
        COUNTER,
        "",
        lambda v: _only(v.memory.oom_kills),
    ),
    (
        "cpu_busy_seconds_total",
        "CPU time over all cores.",
        COUNTER,
        "",
        lambda v: _only(v.cpu.busy_s),
    ),
    (
        "accelerator_busy_ratio",
        "Load of an accelerator.",
        GAUGE,
        "accelerator",
        lambda v: ((a.name, a.busy_share) for a in v.accelerators),
    ),
    (
        "storage_wear_ratio",
        "Used share of a disk's life.",
        GAUGE,
        "disk",
        lambda v: ((d.name, d.wear_share) for d in v.disks),
    ),
    (
        "storage_written_bytes_total",
        "Written since the boot, by disk.",
        COUNTER,
        "disk",
        lambda v: ((d.name, d.written_bytes) for d in v.disks),
    ),
    (
        "file_system_errors_total",
        "Errors that ext4 has counted.",
        COUNTER,
        "",
        lambda v: _only(v.file_system_errors),
    ),
    (
        "network_up",
        "1 while an interface is up.",
        GAUGE,
        "interface",
        lambda v: ((i.name, i.is_up) for i in v.interfaces),
    ),
    ("network_route", "1 while there is a way out.", GAUGE, "", lambda v: _only(v.has_route)),
    (
        "clock_synchronised",
        "1 when the clock was set in this boot.",
        GAUGE,
        "",
        lambda v: _only(v.is_synchronised),
    ),
    (
        "unclean_boots_total",
        "Boots that no orderly shutdown came before.",
        COUNTER,
        "",
        lambda v: _only(v.unclean_boots),
    ),
    ("uptime_seconds", "Since the boot.", GAUGE, "", lambda v: _only(v.uptime_s)),
)


class DeviceMetrics:
    """Metrics that are set from one look at the machine.

    Args:
        prefix: where the device tool counts boots. root: of /proc and /sys.
    """

    def __init__(self, prefix: str, root: str = "/") -> None:
        self._prefix, self._root = prefix, root
        self._seen_s: Optional[float] = None
        self._metrics = tuple(
            (Counter(f"edgeform_device_{name}", text, kind), label, read)
            for name, text, kind, label, read in READINGS
        )

    def attach(self, metrics: Metrics) -> None:
        """Let these be rendered with the pipeline's own."""
        metrics.extend(tuple(metric for metric, _, _ in self._metrics))
        metrics.before_render(self.look)

    def look(self) -> None:
        now = time.monotonic()
        if self._seen_s is not None and now - self._seen_s < FRESH_S:
            return
        self._seen_s = now
        found = vitals(self._root, unclean_boots(self._prefix))
        for metric, label, read in self._metrics:
            metric.clear()
            for name, value in read(found):
                if value is not None:
                    metric.set(float(value), **({label: name} if label else {}))
