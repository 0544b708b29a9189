"""The few calls of the CUDA driver library that TensorRT's own bindings leave to the caller.

Functions of libcuda.so.1 as the "CUDA Driver API" reference has them; no toolkit is needed on the device.
"""

import ctypes
from typing import Any, Dict, Tuple

from edgeform_runtime.errors import EngineUnavailable, InferenceFailed

LIBRARIES = ("libcuda.so.1",)
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_Pointer = ctypes.c_void_p
_Address = ctypes.c_uint64
_ARGUMENTS: Dict[str, Tuple[Any, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGet": (ctypes.POINTER(ctypes.c_int), ctypes.c_int),
    "cuDeviceGetName": (ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "cuDeviceGetAttribute": (ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int),
    "cuDevicePrimaryCtxRetain": (ctypes.POINTER(_Pointer), ctypes.c_int),
    "cuCtxSetCurrent": (_Pointer,),
    "cuStreamCreate": (ctypes.POINTER(_Pointer), ctypes.c_uint),
    "cuStreamDestroy_v2": (_Pointer,),
    "cuStreamSynchronize": (_Pointer,),
    "cuMemAlloc_v2": (ctypes.POINTER(_Address), ctypes.c_size_t),
    "cuMemFree_v2": (_Address,),
    "cuMemcpyHtoDAsync_v2": (_Address, _Pointer, ctypes.c_size_t, _Pointer),
    "cuMemcpyDtoHAsync_v2": (_Pointer, _Address, ctypes.c_size_t, _Pointer),
}


class Cuda:
    """The first GPU, with its primary context."""

    def __init__(self) -> None:
        """Take the GPU.

        Raises:
            EngineUnavailable: no driver library, or no GPU that answers.
        """
        try:
            self._library = ctypes.CDLL(LIBRARIES[0])
        except OSError as exc:
            raise EngineUnavailable(f"the GPU's driver library cannot be loaded: {exc}") from exc
        for name, arguments in _ARGUMENTS.items():
            getattr(self._library, name).argtypes = arguments
            getattr(self._library, name).restype = ctypes.c_int
        try:
            self._do("cuInit", 0)
            device = ctypes.c_int()
            self._do("cuDeviceGet", ctypes.byref(device), 0)
            self.gpu = self._described(device.value)
            self._context = _Pointer()
            self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device.value)
        except InferenceFailed as exc:
            raise EngineUnavailable(f"no GPU answers: {exc.summary}") from exc
        self.enter()

    def enter(self) -> None:
        """Make the context that of the calling thread, as every thread must before it calls."""
        self._do("cuCtxSetCurrent", self._context)

    def stream(self) -> int:
        found = _Pointer()
        self._do("cuStreamCreate", ctypes.byref(found), 1)
        return int(found.value or 0)

    def end_stream(self, stream: int) -> None:
        self._do("cuStreamDestroy_v2", stream)

    def allocate(self, size_bytes: int) -> int:
        found = _Address()
        self._do("cuMemAlloc_v2", ctypes.byref(found), max(1, size_bytes))
        return int(found.value)

    def free(self, address: int) -> None:
        self._do("cuMemFree_v2", address)

    def upload(self, address: int, source: int, size_bytes: int, stream: int) -> None:
        self._do("cuMemcpyHtoDAsync_v2", address, source, size_bytes, stream)

    def download(self, target: int, address: int, size_bytes: int, stream: int) -> None:
        self._do("cuMemcpyDtoHAsync_v2", target, address, size_bytes, stream)

    def wait(self, stream: int) -> None:
        self._do("cuStreamSynchronize", stream)

    def _described(self, device: int) -> str:
        name = ctypes.create_string_buffer(256)
        self._do("cuDeviceGetName", name, len(name), device)
        numbers = []
        for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
            found = ctypes.c_int()
            self._do("cuDeviceGetAttribute", ctypes.byref(found), attribute, device)
            numbers.append(str(found.value))
        return f"{name.value.decode('utf-8', 'replace')} sm_{''.join(numbers)}"

    def _do(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise InferenceFailed(f"tensorrt: {function} gives CUDA error {status}")
