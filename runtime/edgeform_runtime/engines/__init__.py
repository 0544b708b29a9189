"""Engines: one file each, one contract (`base`), imported only inside a closure that has them."""

from importlib import import_module

from edgeform_runtime.engines.base import Engine
from edgeform_runtime.errors import EngineUnavailable

NAMES = ("onnxruntime", "openvino", "litert", "tflite", "tensorrt", "hailort", "neuron")


def engine_of(name: str) -> Engine:
    """The engine of that name, imported and ready to open models.

    Raises:
        EngineUnavailable: this runtime does not know it, or what it needs is not on this device.
    """
    if name not in NAMES:
        raise EngineUnavailable(
            f"engine {name!r} is unknown here; this runtime has {', '.join(NAMES)}"
        )
    try:
        # One of the names above, never a name from a file.
        found: Engine = import_module(f"edgeform_runtime.engines.{name}").load()
    except (ImportError, OSError) as exc:
        raise EngineUnavailable(
            f"engine {name} cannot be loaded: {exc!s:.300}; the closure or the device's driver lacks it"
        ) from exc
    return found
