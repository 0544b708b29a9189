"""Time and memory of a runtime, measured from outside: wall time here, CPU time and memory from /proc."""

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from edgeform_device import judge
from edgeform_device.control import Control, Inference, RawTensor, RuntimeRefused, RuntimeSilent
from edgeform_device.goldens import answer_to, load_tensor
from edgeform_device.judge import Window
from edgeform_device.process import cpu_seconds, resident_bytes
from edgeform_device.subject import INCONCLUSIVE, LIVE, SKIPPED, Subject, verdict_on
from edgeform_wire import golden
from edgeform_wire.receipt import CheckResult

WINDOW_RUNS = 20
WINDOWS = 5
WINDOW_PAUSE_S = 0.5
SLOPE_RUNS = 500
SLOPE_S = 30.0
"""A model that needs longer for all of them is judged by what there was time for."""
COMPARED_RUNS = 10
COMPARED_WINDOWS = 2


class Watch:
    """The clocks that figures are taken with; tests bring their own."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        cpu: Callable[[int], float] = cpu_seconds,
    ) -> None:
        self.monotonic, self.pause, self.cpu = monotonic, pause, cpu

    def idle_rate(self, pid: int, pause_s: float) -> float:
        """CPU seconds per second that a process spends while we ask nothing: its own frames, its clients."""
        began, before = self.monotonic(), self.cpu(pid)
        self.pause(pause_s)
        took = self.monotonic() - began
        return (self.cpu(pid) - before) / took if took > 0 else 0.0

    def window(self, ask: Callable[[], Inference], pid: int, runs: int, idle_rate: float) -> Window:
        """Figures of that many answers in a row."""
        walls = []
        began, before = self.monotonic(), self.cpu(pid)
        for _ in range(runs):
            start = self.monotonic()
            ask()
            walls.append(self.monotonic() - start)
        spent = self.cpu(pid) - before - idle_rate * (self.monotonic() - began)
        return Window(1e3 * sorted(walls)[runs // 2], max(0.0, 1e3 * spent / runs))


def timing(
    control: Control,
    subject: Subject,
    cases: Tuple[golden.Case, ...],
    objective_ms: Optional[float],
    watch: Watch,
) -> CheckResult:
    """The verdict `latency`: as many windows as it takes to meet the objective, at most five."""
    if objective_ms is None:
        return verdict_on(subject, "latency", SKIPPED, "")
    inputs = _inputs(subject, cases)
    if inputs is None:
        return verdict_on(subject, "latency", INCONCLUSIVE, "no tensor golden to measure with")
    windows: List[Window] = []
    idle_rate = 0.0
    for number in range(WINDOWS):
        if number:
            idle_rate = watch.idle_rate(subject.pid, WINDOW_PAUSE_S)
        windows.append(
            watch.window(
                lambda: control.infer_tensors(subject.slot, inputs),
                subject.pid,
                WINDOW_RUNS,
                idle_rate,
            )
        )
        if windows[-1].wall_ms <= objective_ms:
            break
    # The first had no pause before it to see what the process does by itself.
    told = (
        windows if len(windows) == 1 else [*windows[1:], Window(windows[0].wall_ms, float("inf"))]
    )
    return verdict_on(subject, "latency", *judge.judge_timing(told, objective_ms))


def memory(
    control: Control,
    subject: Subject,
    cases: Tuple[golden.Case, ...],
    wanted: Dict[str, Any],
    watch: Watch,
) -> List[CheckResult]:
    """The verdicts `memory` and `memory_slope`, where they are asked for."""
    limit, slope_limit = wanted.get("rss_bytes"), wanted.get("rss_slope_bytes")
    is_shared = subject.slot != LIVE or _holds_two(control)
    results = []
    warm = resident_bytes(subject.pid)
    if limit is not None:
        found = judge.judge_memory(warm, limit, is_shared=is_shared)
        results.append(verdict_on(subject, "memory", *found))
    case = next((c for c in cases if c.level == "tensor"), None)
    if slope_limit is not None and case is not None:
        runs, until = 0, watch.monotonic() + SLOPE_S
        while runs < SLOPE_RUNS and watch.monotonic() < until:
            answer_to(control, subject, case)
            runs += 1
        grown = resident_bytes(subject.pid) - warm
        verdict = judge.judge_growth(grown, slope_limit, runs, SLOPE_RUNS, is_shared=is_shared)
        results.append(verdict_on(subject, "memory_slope", *verdict))
    return results


def comparison(
    control: Control, subject: Subject, cases: Tuple[golden.Case, ...], watch: Watch
) -> CheckResult:
    """The verdict `previous`: the same inputs in turns through this generation and the one before."""
    before, inputs = subject.previous, _inputs(subject, cases)
    if before is None or inputs is None:
        return verdict_on(subject, "previous", SKIPPED, "")
    try:
        with Control(before.socket_path) as other:
            new, old = [], []
            idle = {
                pid: watch.idle_rate(pid, WINDOW_PAUSE_S / 2)
                for pid in sorted({subject.pid, before.pid})
            }
            for _ in range(COMPARED_WINDOWS):
                new.append(
                    watch.window(
                        lambda: control.infer_tensors(subject.slot, inputs),
                        subject.pid,
                        COMPARED_RUNS,
                        idle[subject.pid],
                    )
                )
                old.append(
                    watch.window(
                        lambda: other.infer_tensors(before.slot, inputs),
                        before.pid,
                        COMPARED_RUNS,
                        idle[before.pid],
                    )
                )
            answers = [
                (
                    control.infer_tensors(subject.slot, each),
                    other.infer_tensors(before.slot, each),
                )
                for each in _all_inputs(subject, cases)
            ]
    except (RuntimeRefused, RuntimeSilent) as exc:
        said = (
            f"the generation before does not take this model's inputs: {exc.detail or exc.summary}"
        )
        return verdict_on(subject, "previous", SKIPPED, said)
    found = judge.judge_comparison(_best(new), _best(old), answers)
    return verdict_on(subject, "previous", *found)


def _best(windows: List[Window]) -> Window:
    return Window(min(w.wall_ms for w in windows), min(w.cpu_ms for w in windows))


def _inputs(subject: Subject, cases: Tuple[golden.Case, ...]) -> Optional[List[RawTensor]]:
    return next(iter(_all_inputs(subject, cases)), None)


def _all_inputs(subject: Subject, cases: Tuple[golden.Case, ...]) -> List[List[RawTensor]]:
    return [
        [load_tensor(subject.model_tree, t) for t in case.inputs]
        for case in cases
        if case.level == "tensor"
    ]


def _holds_two(control: Control) -> bool:
    slots = control.state().get("slots")
    return isinstance(slots, dict) and ("candidate" in slots or "previous" in slots)
