"""The checks that decide: the runtime answers, this module judges.

Golden inputs go over the socket, raw tensors come back, and shape, finiteness, deviation and wall time
are computed here. CPU time and memory are read from /proc. What the runtime says about itself
(`effective`) is only a claim that is held against open device nodes and loaded libraries.
"""

import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.goldens import (
    answer_to,
    check_goldens,
    declared_precision,
    load_tensor,
)
from edgeform_device.process import cpu_seconds, evidence, resident_bytes
from edgeform_device.subject import FAIL, INCONCLUSIVE, PASS, SKIPPED, Subject, verdict_on
from edgeform_device.wording import shown_bytes
from edgeform_wire import golden
from edgeform_wire.receipt import CheckResult

NARROWER = {"f32": ("bf16", "f16"), "f16": ("bf16",), "int8": ("int4",)}
"""What must not be computed in instead, silently; a quantised model under f32 is the variant's choice."""
WINDOW_RUNS = 20
WINDOWS = 5
WINDOW_PAUSE_S = 0.5
SLOPE_RUNS = 100

_EVIDENCE = {
    "CUDAExecutionProvider": ("libonnxruntime_providers_cuda", ("/dev/nv",)),
    "TensorrtExecutionProvider": ("libonnxruntime_providers_tensorrt", ("/dev/nv",)),
    "OpenVINOExecutionProvider": ("libonnxruntime_providers_openvino", ()),
    "GPU": ("libopenvino_intel_gpu_plugin", ("/dev/dri/renderD",)),
    "NPU": ("libopenvino_intel_npu_plugin", ("/dev/accel/accel",)),
    "edgetpu": ("libedgetpu", ("/dev/apex_", "/dev/bus/usb/")),
    "vx": ("libvx_delegate", ("/dev/galcore",)),
    "TensorRT": ("libnvinfer", ("/dev/nv",)),
    "hailo-8": ("libhailort", ("/dev/hailo",)),
    "hailo-8l": ("libhailort", ("/dev/hailo",)),
    "hailo-10h": ("libhailort", ("/dev/hailo",)),
    "neuron": ("libnrt", ("/dev/neuron",)),
}
"""What a provider leaves in a process: (a library in its maps, prefixes of open device nodes).

A Jetson's GPU has /dev/nvhost-*, /dev/nvmap and /dev/nvgpu, a card /dev/nvidia*.
"""


def run_checks(
    subject: Subject,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Tuple[CheckResult, ...]:
    """Every verdict on the subject; a runtime that does not answer is a failed check, not an error."""
    wanted = subject.use.checks
    results: List[CheckResult] = []
    try:
        with Control(subject.socket_path) as control:
            results.append(_service(control, subject))
            results.append(_provider(control, subject, wanted.get("provider")))
            results.append(_configuration(control, subject))
            cases = ()  # type: Tuple[golden.Case, ...]
            if wanted.get("golden", True):
                found, cases = check_goldens(control, subject)
                results.extend(found)
            results.append(_timing(control, subject, cases, wanted.get("p50_ms"), monotonic, pause))
            results.extend(_memory(control, subject, cases, wanted))
    except (RuntimeSilent, RuntimeRefused) as exc:
        sentence = exc.summary + (": " + exc.detail if exc.detail else "")
        results.append(verdict_on(subject, "service", FAIL, sentence))
    results.append(_disk(subject, wanted.get("min_free_disk_bytes")))
    return tuple(r for r in results if r.verdict != SKIPPED or r.detail)


def is_acceptable(results: Iterable[CheckResult]) -> bool:
    """Whether a generation with these verdicts may be committed: something passed, nothing failed."""
    verdicts = [r.verdict for r in results]
    return PASS in verdicts and FAIL not in verdicts


def first_failure(results: Iterable[CheckResult]) -> str:
    """A sentence about the first failed check, for the receipt and the night operator."""
    for result in results:
        if result.verdict == FAIL:
            return f"{result.pipeline} {result.name}: {result.detail}"
    return ""


def _service(control: Control, subject: Subject) -> CheckResult:
    state = control.state()
    phase = state.get("phase")
    if phase != "ready":
        detail = "phase is {!r}, last error {!r}".format(phase, state.get("last_error"))
        return verdict_on(subject, "service", FAIL, detail)
    if subject.generation is not None and state.get("generation") != subject.generation:
        detail = "answers for generation {!r}, not {}".format(
            state.get("generation"), subject.generation
        )
        return verdict_on(subject, "service", FAIL, detail)
    if state.get("pid") != subject.pid:
        detail = "pid {!r} answers, the service is pid {}".format(state.get("pid"), subject.pid)
        return verdict_on(subject, "service", FAIL, detail)
    return verdict_on(subject, "service", PASS, "ready", {"frames": state.get("frames")})


def _provider(control: Control, subject: Subject, wanted: Optional[str]) -> CheckResult:
    claimed = control.state().get("effective")
    actual = claimed.get("provider") if isinstance(claimed, dict) else None
    measured = {"effective": claimed}
    if wanted is None:
        return verdict_on(subject, "provider", SKIPPED, "", measured)
    if actual != wanted:
        detail = f"runs on {actual!r}, the class demands {wanted!r}"
        return verdict_on(subject, "provider", FAIL, detail, measured)
    library, prefixes = _EVIDENCE.get(wanted, ("", ()))
    maps, nodes = evidence(subject.pid)
    if library and not any(library in path for path in maps):
        detail = f"claims {wanted} but {library} is not loaded in pid {subject.pid}"
        return verdict_on(subject, "provider", FAIL, detail, measured)
    if prefixes and not any(path.startswith(prefixes) for path in nodes):
        named = " or ".join(prefix + "*" for prefix in prefixes)
        detail = f"claims {wanted} but pid {subject.pid} has no {named} open"
        return verdict_on(subject, "provider", FAIL, detail, measured)
    return verdict_on(subject, "provider", PASS, str(wanted), measured)


def _configuration(control: Control, subject: Subject) -> CheckResult:
    """Whether the engine runs with what it was told: threads, precision, and a self test that was right."""
    claimed = control.state().get("effective")
    asked = subject.use.stages.get("runtime", {})
    if not isinstance(claimed, dict) or not isinstance(asked, dict) or not asked:
        return verdict_on(subject, "configuration", SKIPPED, "")
    measured = {"effective": claimed}
    threads, most = claimed.get("threads"), asked.get("threads", 1)
    if type(threads) is not int or not 1 <= threads <= most:
        detail = f"runs with {threads!r} threads, {most} are allowed"
        return verdict_on(subject, "configuration", FAIL, detail, measured)
    precision, wanted = claimed.get("precision"), asked.get("precision") or "f32"
    is_narrower = precision != wanted and precision in NARROWER.get(wanted, ())
    # A half-precision file is the choice of whoever signed it; one that is narrowed here is nobody's.
    if is_narrower and precision != declared_precision(subject.model_tree):
        detail = f"computes in {precision}, the class demands {wanted}"
        return verdict_on(subject, "configuration", FAIL, detail, measured)
    probe = claimed.get("probe")
    if not isinstance(probe, str) or not probe.startswith("right on "):
        detail = f"the engine's self test says {probe!r:.100}"
        return verdict_on(subject, "configuration", FAIL, detail, measured)
    many = "1 thread" if threads == 1 else f"{threads} threads"
    detail = f"{precision}, {many}; self test {probe}"
    return verdict_on(subject, "configuration", PASS, detail, measured)


def _timing(
    control: Control,
    subject: Subject,
    cases: Tuple[golden.Case, ...],
    objective_ms: Optional[float],
    monotonic: Callable[[], float],
    pause: Callable[[float], None],
) -> CheckResult:
    case = next((c for c in cases if c.level == "tensor"), None)
    if objective_ms is None:
        return verdict_on(subject, "latency", SKIPPED, "")
    if case is None:
        return verdict_on(subject, "latency", INCONCLUSIVE, "no tensor golden to measure with")
    windows: List[Tuple[float, float]] = []
    for window in range(WINDOWS):
        if window:
            pause(WINDOW_PAUSE_S)
        wall_ms, cpu_ms = _window(control, subject, case, monotonic)
        windows.append((wall_ms, cpu_ms))
        measured = {"wall_p50_ms": round(wall_ms, 3), "cpu_ms": round(cpu_ms, 3)}
        if wall_ms <= objective_ms:
            detail = f"p50 {wall_ms:.2f} ms, objective {objective_ms:g} ms"
            return verdict_on(subject, "latency", PASS, detail, measured)
    least_cpu = min(cpu for _, cpu in windows)
    best_wall = min(wall for wall, _ in windows)
    measured = {"wall_p50_ms": round(best_wall, 3), "cpu_ms": round(least_cpu, 3)}
    if least_cpu > objective_ms:
        detail = f"needs {least_cpu:.2f} ms of CPU for one inference, objective {objective_ms:g} ms"
        return verdict_on(subject, "latency", FAIL, detail, measured)
    detail = (
        f"p50 {best_wall:.2f} ms above {objective_ms:g} ms,"
        f" but only {least_cpu:.2f} ms of CPU: the device was busy"
    )
    return verdict_on(subject, "latency", INCONCLUSIVE, detail, measured)


def _window(
    control: Control, subject: Subject, case: golden.Case, monotonic: Callable[[], float]
) -> Tuple[float, float]:
    """(median wall, mean CPU of the runtime) of one inference, in milliseconds."""
    inputs = [load_tensor(subject.model_tree, t) for t in case.inputs]
    walls = []
    before = cpu_seconds(subject.pid)
    for _ in range(WINDOW_RUNS):
        start = monotonic()
        control.infer_tensors(subject.slot, inputs)
        walls.append(monotonic() - start)
    spent = cpu_seconds(subject.pid) - before
    return 1e3 * sorted(walls)[WINDOW_RUNS // 2], 1e3 * spent / WINDOW_RUNS


def _memory(
    control: Control, subject: Subject, cases: Tuple[golden.Case, ...], wanted: Dict[str, Any]
) -> List[CheckResult]:
    limit, slope_limit = wanted.get("rss_bytes"), wanted.get("rss_slope_bytes")
    results = []
    warm = resident_bytes(subject.pid)
    if limit is not None:
        verdict = PASS if warm <= limit else FAIL
        detail = f"{shown_bytes(warm)} resident of {shown_bytes(limit)}"
        results.append(verdict_on(subject, "memory", verdict, detail, {"rss_bytes": warm}))
    case = next((c for c in cases if c.level == "tensor"), None)
    if slope_limit is not None and case is not None:
        for _ in range(SLOPE_RUNS):
            answer_to(control, subject, case)
        grown = resident_bytes(subject.pid) - warm
        verdict = PASS if grown <= slope_limit else FAIL
        grew = f"grew by {shown_bytes(grown)} in {SLOPE_RUNS} inferences"
        detail = f"{grew}, limit {shown_bytes(slope_limit)}"
        results.append(verdict_on(subject, "memory_slope", verdict, detail, {"grown_bytes": grown}))
    return results


def _disk(subject: Subject, minimum: Optional[int]) -> CheckResult:
    free = subject.free_disk_bytes
    if minimum is None or free is None:
        return verdict_on(subject, "disk", SKIPPED, "")
    verdict = PASS if free >= minimum else FAIL
    return verdict_on(
        subject, "disk", verdict, f"{shown_bytes(free)} free, minimum {shown_bytes(minimum)}"
    )
