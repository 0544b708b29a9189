"""Hardware classes: what a kind of device is, what it may run, and the drivers it needs."""

from dataclasses import dataclass, field
from enum import StrEnum

from edgeform.domain.drivers import DriverTuple
from edgeform.domain.names import ClassName


class Engine(StrEnum):
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    LITERT = "litert"
    TFLITE = "tflite"
    TENSORRT = "tensorrt"
    HAILORT = "hailort"
    NEURON = "neuron"


BUILT_ON_DEVICE = (Engine.TENSORRT,)
"""Engines that each device builds for itself from the model, before it is switched to."""
HALVES = ("f16", "bf16")
"""Precisions that a signed model may bring itself, the narrower last."""
HOST_VERSION = "host"
"""The engine version of a closure whose engine belongs to the device's system; drivers pin the real one."""
ACCELERATORS = (
    "cpu",
    "nvidia-jetson",
    "intel-gpu",
    "intel-npu",
    "coral-usb",
    "coral-pcie",
    "hailo-8",
    "hailo-8l",
    "hailo-10h",
    "vsi-npu",
    "inferentia1",
    "inferentia2",
)
"""The kinds the probe can name; a class demands one of them."""


_PROVIDERS = {
    (Engine.ONNXRUNTIME, "cpu"): "CPUExecutionProvider",
    (Engine.OPENVINO, "cpu"): "CPU",
    (Engine.OPENVINO, "intel-gpu"): "GPU",
    (Engine.OPENVINO, "intel-npu"): "NPU",
    (Engine.LITERT, "cpu"): "CPU",
    (Engine.LITERT, "vsi-npu"): "vx",
    (Engine.TFLITE, "cpu"): "CPU",
    (Engine.TFLITE, "coral-usb"): "edgetpu",
    (Engine.TFLITE, "coral-pcie"): "edgetpu",
    (Engine.TENSORRT, "nvidia-jetson"): "TensorRT",
    (Engine.HAILORT, "hailo-8"): "hailo-8",
    (Engine.HAILORT, "hailo-8l"): "hailo-8l",
    (Engine.HAILORT, "hailo-10h"): "hailo-10h",
    (Engine.NEURON, "inferentia1"): "neuron",
    (Engine.NEURON, "inferentia2"): "neuron",
}


def asked_precision(chosen: str, written: str) -> str:
    """What an engine is asked for: the narrower of what the class chose and what the model is written in.

    A model in half precision is the choice of whoever signed it, and an engine that is asked for more than
    it has refuses it. Integer models say nothing here: what of them is not quantised follows the class.
    """
    order = ("f32", *HALVES)
    if chosen not in order or written not in order:
        return chosen
    return max(chosen, written, key=order.index)


def usual_provider(engine: Engine, accelerator: str) -> str | None:
    """What must compute where a class names no provider; None where the engine cannot use the accelerator."""
    return _PROVIDERS.get((engine, accelerator))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingSystem:
    """As /etc/os-release says it: `id` debian, `version` 12."""

    id: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeChoice:
    """The engine of a class and how it is run.

    Args:
        version: of the engine, exact; None takes the closure that the lock names.
        provider: what must really compute, in the engine's words; left out, the accelerator's usual one.
        threads: at most; the CPU quota may lower it.
        python: `system` uses the device's own interpreter.
    """

    engine: Engine
    version: str | None = None
    provider: str | None = None
    precision: str = "f32"
    threads: int = 1
    python: str = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareClass:
    """A kind of device; `lineage` names it and what it extends, nearest first."""

    name: ClassName
    lineage: tuple[str, ...]
    arch: str
    os: OperatingSystem
    accelerator: str
    runtime: RuntimeChoice
    glibc: str | None = None
    python: str | None = None
    drivers: DriverTuple = field(default_factory=DriverTuple)
