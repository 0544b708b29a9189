"""Counters, gauges and histograms in Prometheus's text form; nothing is kept but numbers."""

import os
import threading
from bisect import bisect_left
from collections import deque
from typing import Callable, Deque, Dict, List, Mapping, Optional, Tuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STAGE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
RECENT = 256
Labels = Tuple[Tuple[str, str], ...]


class Counter:
    """A number per set of label values that only grows (`kind` gauge: that may also fall)."""

    def __init__(self, name: str, text: str, kind: str = "counter") -> None:
        self.name, self.text, self.kind = name, text, kind
        self._values: Dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float = 1.0, **labels: str) -> None:
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount

    def set(self, value: float, **labels: str) -> None:
        with self._lock:
            self._values[tuple(sorted(labels.items()))] = value

    def clear(self) -> None:
        with self._lock:
            self._values.clear()

    def total(self, **labels: str) -> float:
        """The sum over all series that have these label values."""
        wanted = set(labels.items())
        with self._lock:
            return sum(v for key, v in self._values.items() if wanted <= set(key))

    def by(self, label: str) -> Dict[str, int]:
        """The sums by the values of one label."""
        found: Dict[str, int] = {}
        for key, value in self.series().items():
            name = dict(key).get(label, "")
            found[name] = found.get(name, 0) + int(value)
        return found

    def series(self) -> Dict[Labels, float]:
        with self._lock:
            return dict(self._values)

    def lines(self, common: Labels) -> List[str]:
        out = [f"# HELP {self.name} {self.text}", f"# TYPE {self.name} {self.kind}"]
        out += [f"{self.name}{_braces(common + k)} {_number(v)}" for k, v in self.series().items()]
        return out


class Histogram:
    """How often a duration fell into each bucket, per set of label values."""

    def __init__(self, name: str, text: str, buckets: Tuple[float, ...] = STAGE_BUCKETS_S) -> None:
        self.name, self.text, self._buckets = name, text, buckets
        self._counts: Dict[Labels, List[int]] = {}
        self._sums: Dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, seconds: float, **labels: str) -> None:
        key = tuple(sorted(labels.items()))
        place = bisect_left(self._buckets, seconds)
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(self._buckets) + 1))
            counts[place] += 1
            self._sums[key] = self._sums.get(key, 0.0) + seconds

    def lines(self, common: Labels) -> List[str]:
        out = [f"# HELP {self.name} {self.text}", f"# TYPE {self.name} histogram"]
        with self._lock:
            series = [(k, list(c), self._sums[k]) for k, c in self._counts.items()]
        for key, counts, total in series:
            labels, seen = common + key, 0
            for bound, count in zip((*self._buckets, float("inf")), counts):
                seen += count
                edge = "+Inf" if bound == float("inf") else repr(bound)
                out.append(f"{self.name}_bucket{_braces((*labels, ('le', edge)))} {seen}")
            out.append(f"{self.name}_sum{_braces(labels)} {_number(total)}")
            out.append(f"{self.name}_count{_braces(labels)} {seen}")
        return out


class Recent:
    """The last durations of inference and of whole frames, for those who look at a device now."""

    def __init__(self) -> None:
        self._infer: Deque[float] = deque(maxlen=RECENT)
        self._frame: Deque[float] = deque(maxlen=RECENT)

    def add(self, infer_s: float, frame_s: float) -> None:
        self._infer.append(infer_s)
        self._frame.append(frame_s)

    def figures(self) -> Dict[str, Optional[float]]:
        """Milliseconds; None before the first frame."""
        infer, frame = sorted(self._infer.copy()), sorted(self._frame.copy())
        return {
            "infer_p50_ms": _percentile_ms(infer, 0.5),
            "infer_p95_ms": _percentile_ms(infer, 0.95),
            "frame_p50_ms": _percentile_ms(frame, 0.5),
            "frame_p95_ms": _percentile_ms(frame, 0.95),
        }


def _percentile_ms(values: List[float], share: float) -> Optional[float]:
    return round(values[int(share * (len(values) - 1))] * 1000, 3) if values else None


class Metrics:
    """All metrics of one pipeline process; every series carries `pipeline`."""

    def __init__(self, pipeline: str) -> None:
        self._common: Labels = (("pipeline", pipeline),)
        self.requests = Counter(
            "edgeform_infer_requests_total", "Inferences by variant, source and outcome."
        )
        self.captured = Counter("edgeform_frames_captured_total", "Frames taken from the source.")
        self.inferred = Counter("edgeform_frames_inferred_total", "Frames that got a result.")
        self.dropped = Counter("edgeform_frames_dropped_total", "Frames dropped, by reason.")
        self.failed = Counter("edgeform_frames_failed_total", "Frames without a result, by reason.")
        self.source = Counter("edgeform_capture_source_up", "1 while the source is there.", "gauge")
        self.lost = Counter("edgeform_capture_lost_total", "Times the source went away, by reason.")
        self.actions = Counter("edgeform_actions_total", "Actions by kind and outcome.")
        self.reports = Counter("edgeform_reports_total", "Reports by kind and outcome.")
        self.egress = Counter(
            "edgeform_egress_bytes_total", "Payload that left the device, by kind and destination."
        )
        self.asks = Counter(
            "edgeform_asks_total", "Questions through a report's broker, by operation and status."
        )
        self.spool = Counter("edgeform_spool_bytes", "Reports that wait on disk.", "gauge")
        self.recorded = Counter(
            "edgeform_recording_frames_total", "Frames that the recording was told of, by outcome."
        )
        self.captures = Counter("edgeform_captures_total", "Captures made, by reason and outcome.")
        self.psi = Counter(
            "edgeform_input_psi", "Stability index of recent inputs, by feature.", "gauge"
        )
        self.drifted = Counter(
            "edgeform_input_drifted", "1 while inputs are not as the model was made for.", "gauge"
        )
        self.http = Counter("edgeform_http_requests_total", "HTTP requests by route and status.")
        self.restarts = Counter("edgeform_thread_restarts_total", "Threads restarted, by thread.")
        self.stuck = Counter(
            "edgeform_stuck_total", "Processes ended because something was stuck, by what."
        )
        self.stages = Histogram("edgeform_stage_seconds", "Time spent per stage.")
        self.variant = Counter("edgeform_variant_info", "The live model variant.", "gauge")
        self.thermal = Counter(
            "edgeform_thermal_rung", "Rung of the thermal ladder; 0 is beside it.", "gauge"
        )
        self.thermal_sensor = Counter("edgeform_thermal_sensor_up", "1 while it is there.", "gauge")
        self.thermal_changes = Counter(
            "edgeform_thermal_changes_total", "Moves on the thermal ladder, by the rung reached."
        )
        self.shadow = Counter(
            "edgeform_shadow_frames_total", "Frames of the model that only watches, by outcome."
        )
        self.depth = Counter("edgeform_queue_depth", "Items waiting, by queue.", "gauge")
        self.memory = Counter("edgeform_resident_memory_bytes", "Resident memory.", "gauge")
        self.ready = Counter("edgeform_ready", "1 when the live model answers.", "gauge")
        self.recent = Recent()
        self._gauges: List[Callable[[], None]] = []
        self._others: Tuple[Counter, ...] = ()
        for total in (self.captured, self.inferred):
            total.add(0.0)

    def extend(self, others: Tuple[Counter, ...]) -> None:
        """Render these too; they say nothing of a pipeline, but a scrape finds them with it."""
        self._others += others

    def before_render(self, gauge: Callable[[], None]) -> None:
        """Call `gauge` before every rendering, to set values that are read, not counted."""
        self._gauges.append(gauge)

    def render(self) -> bytes:
        for gauge in self._gauges:
            gauge()
        lines: List[str] = []
        for metric in (*vars(self).values(), *self._others):
            if isinstance(metric, (Counter, Histogram)):
                lines += metric.lines(self._common)
        return ("\n".join(lines) + "\n").encode()

    def drift(self) -> Optional[Dict[str, object]]:
        """The feature of the inputs that moved most, as reports tell it; None without a reference."""
        series = self.psi.series()
        if not series:
            return None
        key, value = max(series.items(), key=lambda item: item[1])
        is_shifted = self.drifted.total() > 0
        return {"feature": dict(key)["feature"], "psi": round(value, 4), "is_shifted": is_shifted}

    def frames(self) -> Mapping[str, int]:
        """The four numbers that `state` tells."""
        return {
            "captured": int(self.captured.total()),
            "inferred": int(self.inferred.total()),
            "dropped": int(self.dropped.total()),
            "failed": int(self.failed.total()),
        }


def resident_bytes() -> int:
    """Resident memory of this process, 0 where /proc does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _braces(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return "{" + inner + "}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
