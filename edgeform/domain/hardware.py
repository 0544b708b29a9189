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
        provider: the execution provider that must really be used (onnxruntime's name for it).
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
