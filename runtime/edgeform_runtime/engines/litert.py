"""LiteRT (`ai-edge-litert`): TFLite models on ARM and x86 CPUs, and on NPUs through a delegate."""

from importlib import metadata

from ai_edge_litert import interpreter

from edgeform_runtime.engines.interpreter import Package, TfliteEngine


def load() -> TfliteEngine:
    return TfliteEngine(Package("litert", metadata.version("ai-edge-litert"), interpreter))
