"""`tflite-runtime` 2.14, for the Edge TPU only: its delegate is coupled to this old runtime.

On a CPU it is a trap (int8 MobileNetV2 34 ms against 1.5 ms in LiteRT, 2 threads on one core 424 ms; x86-64,
2026-11), and it needs numpy below 2, which it does not say.
"""

from importlib import metadata

from tflite_runtime import interpreter

from edgeform_runtime.engines.interpreter import Package, TfliteEngine


def load() -> TfliteEngine:
    return TfliteEngine(Package("tflite", metadata.version("tflite-runtime"), interpreter))
