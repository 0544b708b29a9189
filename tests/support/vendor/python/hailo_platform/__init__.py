"""Stands where HailoRT's Python package stands, for the contract only.

Shapes and calls follow the HailoRT user guide (hailo.ai/developer-zone/documentation, "Python inference
tutorial" and "Python API reference": Device.scan, control.identify, VDevice, InferModel, ConfiguredInferModel).
The last byte of a file says how it computes: 'f' as the contract's model, 'r' differently at every run, 'n' NaN.
"""

import enum
import os

import numpy as np

__version__ = "4.23.0"


class HailoRTException(RuntimeError):
    pass


class FormatType(enum.Enum):
    AUTO = 0
    UINT8 = 1
    UINT16 = 2
    FLOAT32 = 3


class DeviceArchitectureTypes(enum.IntEnum):
    HAILO8_A0 = 0
    HAILO8 = 1
    HAILO8L = 2
    HAILO10H = 7


class _Board:
    device_architecture = DeviceArchitectureTypes[os.environ.get("HAILO_BOARD", "HAILO8")]


class _Control:
    def identify(self):
        return _Board()


class Device:
    @staticmethod
    def scan():
        return [] if "NO_HAILO" in os.environ else ["0000:01:00.0"]

    def __init__(self, device_id):
        self.control = _Control()

    def release(self):
        self.control = None


class _Stream:
    def __init__(self, shape):
        self.shape = shape
        self.format_type = FormatType.UINT8

    def set_format_type(self, format_type):
        self.format_type = format_type


class _Buffer:
    def set_buffer(self, buffer):
        if not buffer.flags["C_CONTIGUOUS"] or buffer.shape != (4,):
            raise HailoRTException("HAILO_INVALID_ARGUMENT(2): buffer size mismatch")
        self.buffer = buffer


class _Bindings:
    def __init__(self):
        self._inputs, self._outputs = {}, {}

    def input(self, name):
        if name != "x":
            raise HailoRTException("HAILO_NOT_FOUND(61)")
        return self._inputs.setdefault(name, _Buffer())

    def output(self, name):
        return self._outputs.setdefault(name, _Buffer())


class _Configured:
    def __init__(self, model):
        self._model = model
        self._runs = 0

    def create_bindings(self):
        return _Bindings()

    def run(self, bindings, timeout_ms):
        self._runs += 1
        for each in bindings:
            x, y = each.input("x").buffer, each.output("y").buffer
            if self._model.input("x").format_type is not FormatType.FLOAT32:
                raise HailoRTException("HAILO_INVALID_ARGUMENT(2): format")
            y[:] = x * np.asarray([1, 2, 3, 4], np.float32) + np.float32(0.5)
            if self._model.kind == b"r":
                y[0] += self._runs
            if self._model.kind == b"n":
                y[3] = np.nan


class _InferModel:
    input_names = ("x",)
    output_names = ("y",)

    def __init__(self, path):
        with open(path, "rb") as stream:
            self.kind = stream.read()[-1:]
        self._streams = {"x": _Stream((4,)), "y": _Stream((4,))}

    def set_batch_size(self, size):
        assert size == 1

    def input(self, name="x"):
        return self._streams[name]

    def output(self, name="y"):
        return self._streams[name]

    def configure(self):
        return _Configured(self)


class VDevice:
    def create_infer_model(self, path):
        return _InferModel(path)

    def release(self):
        pass
