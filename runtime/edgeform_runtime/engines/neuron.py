"""AWS Neuron: compiled models (.neff) through the runtime library that the device's driver packages bring.

The C interface is libnrt's: nrt_init, nrt_load, nrt_get_model_tensor_info, tensor sets, nrt_execute;
documented in the Neuron SDK under "Neuron Runtime API" (nrt.h, nrt_experimental.h). No framework is loaded.
There is no CPU behind it: a model that loads runs on a NeuronCore. A tiny model needs the vendor's
compiler, so the self test is the model itself, which must give the same finite answer twice.
"""

import ctypes
import os
import stat
import threading
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from edgeform_runtime.arrays import Array
from edgeform_runtime.engines.base import Effective, EngineConfig, Session, TensorSpec
from edgeform_runtime.engines.selftest import check_twice
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed, ModelRefused

PROVIDER = "neuron"
LIBRARIES = ("libnrt.so.1", "/opt/aws/neuron/lib/libnrt.so.1")
_NO_FRAMEWORK = 1
_ON_DEVICE = 0
_INPUT = 0
_ANY_CORE = -1
_INVALID_NEFF = (2, 3, 10)  # NRT_INVALID, NRT_INVALID_HANDLE, NRT_UNSUPPORTED_NEFF_VERSION
_DTYPES = {
    # The numbers were given anew between releases; with the size of an element each pair means one type.
    (1, 4): "float32",
    (2, 2): "float16",
    (4, 1): "int8",
    (5, 1): "uint8",
    (8, 4): "int32",
    (10, 8): "int64",
    (0xA, 4): "float32",
    (0x7, 2): "float16",
    (0x2, 1): "int8",
    (0x3, 1): "uint8",
    (0xC, 8): "int64",
}


class _Info(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * 256),
        ("usage", ctypes.c_int),
        ("size", ctypes.c_size_t),
        ("dtype", ctypes.c_int),
        ("shape", ctypes.POINTER(ctypes.c_uint32)),
        ("ndim", ctypes.c_uint32),
    )


class _Version(ctypes.Structure):
    _fields_ = (("numbers", ctypes.c_uint64 * 4), ("rest", ctypes.c_char * 480))


_Handle = ctypes.c_void_p
_ARGUMENTS: Dict[str, Tuple[Any, ...]] = {
    "nrt_init": (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p),
    "nrt_get_version": (ctypes.POINTER(_Version), ctypes.c_size_t),
    "nrt_load": (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.POINTER(_Handle),
    ),
    "nrt_unload": (_Handle,),
    "nrt_get_model_tensor_info": (_Handle, ctypes.POINTER(_Handle)),
    "nrt_free_model_tensor_info": (_Handle,),
    "nrt_allocate_tensor_set": (ctypes.POINTER(_Handle),),
    "nrt_add_tensor_to_tensor_set": (_Handle, ctypes.c_char_p, _Handle),
    "nrt_tensor_allocate": (
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.POINTER(_Handle),
    ),
    "nrt_tensor_write": (_Handle, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t),
    "nrt_tensor_read": (_Handle, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t),
    "nrt_execute": (_Handle, _Handle, _Handle),
}
_FREEING = ("nrt_tensor_free", "nrt_destroy_tensor_set")


def load() -> "Neuron":
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        return Neuron(library)
    raise EngineUnavailable(
        "libnrt.so.1 cannot be loaded: the device lacks the package aws-neuronx-runtime-lib"
    )


class Neuron:
    name = "neuron"
    extensions: Tuple[str, ...] = (".neff",)

    def __init__(self, library: Any) -> None:
        for name, arguments in _ARGUMENTS.items():
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = ctypes.c_int
        for name in _FREEING:
            getattr(library, name).argtypes = (ctypes.POINTER(_Handle),)
            getattr(library, name).restype = None
        self._library = library
        version = _Version()
        status = library.nrt_get_version(ctypes.byref(version), ctypes.sizeof(version))
        if status:
            raise EngineUnavailable(f"libnrt does not say its version: status {status}")
        self.version = ".".join(str(number) for number in version.numbers[:3])
        status = library.nrt_init(_NO_FRAMEWORK, b"", b"")
        if status:
            raise EngineUnavailable(
                f"libnrt {self.version} does not start: status {status}; is /dev/neuron0 there and free?"
            )

    def open(self, path: str, config: EngineConfig) -> Session:
        if (config.provider or PROVIDER) != PROVIDER:
            raise EngineUnavailable(f"{config.provider} was asked for; this engine has {PROVIDER}")
        content = _content(path)
        model = _Handle()
        status = self._library.nrt_load(content, len(content), _ANY_CORE, -1, ctypes.byref(model))
        name = os.path.basename(path)
        if status in _INVALID_NEFF:
            raise ModelRefused(f"libnrt refuses {name}: status {status}")
        if status:
            raise EngineUnavailable(f"libnrt cannot load {name}: status {status}")
        session = NeuronSession(self._library, model, config.threads)
        try:
            precision = session.precision
            if config.precision not in ("f32", precision):
                raise EngineUnavailable(
                    f"precision {config.precision} was asked for, but the model takes {precision}"
                )
            check_twice(session, PROVIDER)
        except (EngineUnavailable, InferenceFailed) as exc:
            session.close()
            raise EngineUnavailable(exc.summary) from exc
        return session


class NeuronSession:
    """A model on a NeuronCore with its tensors allocated; runs exclude each other."""

    def __init__(self, library: Any, model: Any, threads: int) -> None:
        self._library = library
        self._model: Optional[Any] = model
        self._running = threading.Lock()
        self._threads = threads
        self._tensors: Dict[str, Any] = {}
        self._sets = (_Handle(), _Handle())
        for each in self._sets:
            self._do("nrt_allocate_tensor_set", ctypes.byref(each))
        inputs: List[TensorSpec] = []
        outputs: List[TensorSpec] = []
        for raw_name, usage, size, spec in self._described():
            tensor = _Handle()
            self._do("nrt_tensor_allocate", _ON_DEVICE, 0, size, raw_name, ctypes.byref(tensor))
            self._tensors[spec.name] = tensor
            is_input = usage == _INPUT
            self._do(
                "nrt_add_tensor_to_tensor_set", self._sets[0 if is_input else 1], raw_name, tensor
            )
            (inputs if is_input else outputs).append(spec)
        self.inputs: Tuple[TensorSpec, ...] = tuple(inputs)
        self.outputs: Tuple[TensorSpec, ...] = tuple(outputs)

    @property
    def precision(self) -> str:
        """Of the tensors outside; what a compiled model does inside, only its goldens show."""
        kinds = {spec.dtype for spec in (*self.inputs, *self.outputs)}
        return "f16" if "float16" in kinds else "int8" if "int8" in kinds else "f32"

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        with self._running:
            if self._model is None:
                raise InferenceFailed("neuron: the session is closed")
            by_name = {spec.name: spec for spec in self.inputs}
            for name, array in feeds.items():
                spec = by_name.get(name)
                if spec is None or array.shape != spec.shape or array.dtype.name != spec.dtype:
                    raise InferenceFailed(
                        f"neuron: {name!r:.80} {array.dtype.name}{list(array.shape)} does not fit"
                    )
                whole = np.ascontiguousarray(array)
                self._do(
                    "nrt_tensor_write", self._tensors[name], whole.ctypes.data, 0, whole.nbytes
                )
            self._do("nrt_execute", self._model, *self._sets)
            found: Dict[str, Array] = {}
            for spec in self.outputs:
                answer = np.empty(spec.shape, spec.dtype)
                self._do(
                    "nrt_tensor_read",
                    self._tensors[spec.name],
                    answer.ctypes.data,
                    0,
                    answer.nbytes,
                )
                found[spec.name] = answer
            return found

    def effective(self) -> Effective:
        return Effective(
            provider=PROVIDER,
            precision=self.precision,
            threads=self._threads,
            device="accelerator",
            probe="right on neuron: the model itself, twice the same finite answer",
        )

    def close(self) -> None:
        with self._running:
            if self._model is None:
                return
            for tensor in self._tensors.values():
                self._library.nrt_tensor_free(ctypes.byref(tensor))
            for each in self._sets:
                self._library.nrt_destroy_tensor_set(ctypes.byref(each))
            self._library.nrt_unload(self._model)
            self._model = None

    def _described(self) -> List[Tuple[bytes, int, int, TensorSpec]]:
        array = _Handle()
        self._do("nrt_get_model_tensor_info", self._model, ctypes.byref(array))
        try:
            base = int(array.value or 0)
            count = ctypes.c_uint64.from_address(base).value
            infos = (_Info * count).from_address(base + ctypes.sizeof(ctypes.c_uint64))
            return [(info.name, info.usage, info.size, _spec(info)) for info in infos]
        finally:
            self._library.nrt_free_model_tensor_info(array)

    def _do(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise InferenceFailed(f"neuron: {function} gives status {status}")


def _spec(info: Any) -> TensorSpec:
    shape = tuple(int(info.shape[n]) for n in range(info.ndim))
    count = 1
    for extent in shape:
        count *= extent
    name = info.name.decode("utf-8", "replace")
    dtype = _DTYPES.get((info.dtype, info.size // max(1, count)))
    if dtype is None:
        raise ModelRefused(f"{name}: type {info.dtype} is no tensor this runtime can pass on")
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def _content(path: str) -> bytes:
    name = os.path.basename(path)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ModelRefused(f"{name} is not an ordinary file")
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as exc:
        raise ModelRefused(f"{name} cannot be read: {exc.strerror}") from exc
