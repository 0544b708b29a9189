"""What a runtime says about itself, held against what the kernel says about it.

`effective` is only a claim; open device nodes and loaded libraries are evidence.
"""

from typing import Optional

from edgeform_device.control import Control
from edgeform_device.goldens import declared_precision
from edgeform_device.process import evidence
from edgeform_device.subject import FAIL, PASS, SKIPPED, Subject, verdict_on
from edgeform_wire.receipt import CheckResult

NARROWER = {"f32": ("bf16", "f16"), "f16": ("bf16",), "int8": ("int4",)}
"""What must not be computed in instead, silently; a quantised model under f32 is the variant's choice."""

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


def service(control: Control, subject: Subject) -> CheckResult:
    state = control.state()
    phase = state.get("phase")
    if phase != "ready":
        detail = "phase is {!r}, last error {!r}".format(phase, state.get("last_error"))
        return verdict_on(subject, "service", FAIL, detail)
    answers = subject.held(state).get("generation")
    if subject.generation is not None and answers != subject.generation:
        detail = f"answers for generation {answers!r}, not {subject.generation}"
        return verdict_on(subject, "service", FAIL, detail)
    if state.get("pid") != subject.pid:
        detail = "pid {!r} answers, the service is pid {}".format(state.get("pid"), subject.pid)
        return verdict_on(subject, "service", FAIL, detail)
    return verdict_on(subject, "service", PASS, "ready", {"frames": state.get("frames")})


def provider(control: Control, subject: Subject, wanted: Optional[str]) -> CheckResult:
    claimed = subject.effective(control)
    actual = claimed.get("provider")
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


def configuration(control: Control, subject: Subject) -> CheckResult:
    """Whether the engine runs with what it was told: threads, precision, and a self test that was right."""
    claimed = subject.effective(control)
    asked = subject.use.stages.get("runtime", {})
    if not claimed or not isinstance(asked, dict) or not asked:
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
