"""Engines: one file each, one contract (`base`), imported only inside a closure that has them."""

from edgeform_runtime.engines.base import Engine
from edgeform_runtime.errors import EngineUnavailable

NAMES = ("onnxruntime",)


def engine_of(name: str) -> Engine:
    """The engine of that name, imported and ready to open models.

    Raises:
        EngineUnavailable: this runtime does not know it, or the closure does not carry it.
    """
    if name == "onnxruntime":
        from edgeform_runtime.engines import onnxruntime  # noqa: PLC0415 - engines load on demand

        return onnxruntime.load()
    raise EngineUnavailable(f"engine {name!r} is unknown here; this runtime has {', '.join(NAMES)}")
