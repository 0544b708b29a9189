"""Stands where TensorRT's Python package stands, for the contract only.

Calls follow NVIDIA's "TensorRT Python API" reference (docs.nvidia.com/deeplearning/tensorrt, version 10: Builder,
OnnxParser, IProgressMonitor, Runtime, ICudaEngine, IExecutionContext). It computes x * (1, 2, 3, 4) + 0.5 on memory
that the fake driver library calls a GPU's, whatever the ONNX file says.
"""

import ctypes
import enum
import os
import time

import numpy as np

__version__ = os.environ.get("TRT_VERSION", "10.3.0")
_MAGIC = b"plan for " + __version__.encode() + b"\n"


class Logger:
    ERROR = 1

    def __init__(self, severity):
        self.severity = severity


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0


class BuilderFlag(enum.IntEnum):
    FP16 = 0
    INT8 = 2
    TF32 = 5
    BF16 = 17


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0


def nptype(dtype):
    assert dtype is DataType.FLOAT
    return np.float32


class IProgressMonitor:
    def __init__(self):
        self.is_made = True  # the real one crashes when a subclass does not call it


class _Error:
    def desc(self):
        return "Failed to parse ONNX model"


class OnnxParser:
    num_errors = 1

    def __init__(self, network, logger):
        self._network = network

    def parse(self, content):
        self._network.onnx = content
        return b"Mul" in content

    def get_error(self, n):
        return _Error()


class _Config:
    def __init__(self):
        self.flags = {BuilderFlag.TF32}
        self.progress_monitor = None

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)


class _Network:
    onnx = b""


class Builder:
    def __init__(self, logger):
        pass

    def create_network(self, flags):
        assert flags == 1
        return _Network()

    def create_builder_config(self):
        return _Config()

    def build_serialized_network(self, network, config):
        monitor = config.progress_monitor
        assert monitor.is_made
        if os.environ.get("TRT_FAILS"):
            return None
        monitor.phase_start("Tactics", None, 3)
        for step in range(3):
            time.sleep(float(os.environ.get("TRT_STEP_S", "0")))
            if not monitor.step_complete("Tactics", step):
                return None
        monitor.phase_finish("Tactics")
        names = ",".join(sorted(flag.name for flag in config.flags))
        return bytearray(_MAGIC + names.encode())


class Runtime:
    def __init__(self, logger):
        pass

    def deserialize_cuda_engine(self, plan):
        return _Engine() if plan.startswith(_MAGIC) else None


class _Context:
    def __init__(self):
        self._addresses = {}

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        x, y = (
            np.ctypeslib.as_array((ctypes.c_float * 4).from_address(self._addresses[n]))
            for n in "xy"
        )
        y[:] = x * np.asarray([1, 2, 3, 4], np.float32) + np.float32(0.5)
        return True


class _Engine:
    num_io_tensors = 2

    def get_tensor_name(self, n):
        return "xy"[n]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name == "x" else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return (1, 4)

    def get_tensor_dtype(self, name):
        return DataType.FLOAT

    def create_execution_context(self):
        return _Context()
