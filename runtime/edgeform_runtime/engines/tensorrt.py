"""TensorRT: engines that were built on this very device, through the Python package of the device's system.

Interface: NVIDIA's "TensorRT Python API reference" (Builder, OnnxParser, IProgressMonitor, Runtime,
IExecutionContext.execute_async_v3) and its developer guide. There is no CPU behind it. Opening never builds:
building takes minutes and is a step of its own (`tensorrt_build`), so an engine that is missing is an error.
"""

import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np
import tensorrt as trt

from edgeform_runtime import onnxfile
from edgeform_runtime.arrays import Array
from edgeform_runtime.engines import probe, tensorrt_cache
from edgeform_runtime.engines.base import Effective, EngineConfig, Session, TensorSpec
from edgeform_runtime.engines.cuda import Cuda
from edgeform_runtime.engines.tensorrt_cache import Origin
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed, ModelRefused

PROVIDER = "TensorRT"
FLAGS = {"f32": (), "f16": ("FP16",), "bf16": ("BF16",), "int8": ("INT8", "FP16")}
"""The builder's flags by precision. int8 is the model's own quantisation (QDQ), never a calibration here."""
Progress = Callable[[str, int, int], None]


def load() -> "TensorRt":
    return TensorRt()


class TensorRt:
    name = "tensorrt"
    version = str(trt.__version__)
    extensions: Tuple[str, ...] = (".onnx",)

    def __init__(self) -> None:
        self._cuda = Cuda()
        self._logger = trt.Logger(trt.Logger.ERROR)

    def open(self, path: str, config: EngineConfig) -> Session:
        if (config.provider or PROVIDER) != PROVIDER:
            raise EngineUnavailable(f"{config.provider} was asked for; this engine has {PROVIDER}")
        if config.cache_dir is None:
            raise EngineUnavailable("tensorrt needs the directory of this device's own engines")
        described = onnxfile.inspect(path)
        check_precision(config.precision, described)
        self._probe(config.cache_dir, config.precision)
        with open(path, "rb") as stream:
            origin = self.origin(stream.read(), config.precision)
        plan = tensorrt_cache.content(config.cache_dir, origin.key)
        return TrtSession(
            self._cuda,
            self._deserialised(plan, origin.key),
            Effective(
                provider=PROVIDER,
                precision=config.precision,
                threads=config.threads,
                device="accelerator",
                probe=f"right on {PROVIDER} {self.version}, {self._cuda.gpu}",
            ),
        )

    def origin(self, onnx: bytes, precision: str) -> Origin:
        """What an engine of that file on this device depends on."""
        return Origin(
            onnx=tensorrt_cache.digest_of(onnx),
            precision=precision,
            tensorrt=self.version,
            gpu=self._cuda.gpu,
            system=tensorrt_cache.system_release(),
        )

    def build(self, onnx: bytes, precision: str, progress: Progress) -> bytes:
        """The engine's bytes; takes seconds to many minutes.

        Raises:
            ModelRefused: TensorRT cannot read the file. EngineUnavailable: it cannot build it here.
        """
        builder = trt.Builder(self._logger)
        explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
        network = builder.create_network(0 if explicit is None else 1 << int(explicit))
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse(onnx):
            first = parser.get_error(0).desc() if parser.num_errors else "no reason given"
            raise ModelRefused(f"tensorrt cannot read the model: {first:.300}")
        settings = builder.create_builder_config()
        for name in FLAGS[precision]:
            flag = getattr(trt.BuilderFlag, name, None)
            if flag is not None:  # from 11 on networks are strongly typed and these flags are gone
                settings.set_flag(flag)
        if precision == "f32" and hasattr(trt.BuilderFlag, "TF32"):
            settings.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa are not float32
        if hasattr(trt, "IProgressMonitor"):
            settings.progress_monitor = _monitor(progress)
        plan = builder.build_serialized_network(network, settings)
        if plan is None:
            raise EngineUnavailable("tensorrt could not build the engine; its log says why")
        return bytes(plan)

    def _probe(self, cache_dir: str, precision: str) -> None:
        key = self.origin(probe.ONNX_MODEL, precision).key
        plan = tensorrt_cache.content(cache_dir, key)
        silent = Effective(PROVIDER, precision, 1, "accelerator", "")
        session = TrtSession(self._cuda, self._deserialised(plan, key), silent)
        try:
            answer = session.infer({"x": np.asarray([probe.INPUT], np.float32)})
        except InferenceFailed as exc:
            raise EngineUnavailable(f"the probe model does not run: {exc.summary}") from exc
        finally:
            session.close()
        probe.judge(answer["y"], PROVIDER)

    def _deserialised(self, plan: bytes, key: str) -> Any:
        self._cuda.enter()
        engine = trt.Runtime(self._logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineUnavailable(f"TensorRT {self.version} does not accept the engine {key}")
        return engine


class TrtSession:
    """An engine with buffers on the GPU; runs exclude each other."""

    def __init__(self, cuda: Cuda, engine: Any, effective: Effective) -> None:
        self._cuda = cuda
        self._engine: Optional[Any] = engine
        self._context = engine.create_execution_context()
        self._effective = effective
        self._running = threading.Lock()
        self._stream = cuda.stream()
        self._addresses: Dict[str, int] = {}
        inputs: List[TensorSpec] = []
        outputs: List[TensorSpec] = []
        for n in range(engine.num_io_tensors):
            name = str(engine.get_tensor_name(n))
            spec = TensorSpec(
                name=name,
                dtype=np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name,
                shape=tuple(int(extent) for extent in engine.get_tensor_shape(name)),
            )
            if any(extent < 1 for extent in spec.shape):
                raise ModelRefused(f"{name} leaves an extent open: export it with fixed shapes")
            self._addresses[name] = cuda.allocate(_bytes_of(spec))
            self._context.set_tensor_address(name, self._addresses[name])
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (inputs if is_input else outputs).append(spec)
        self.inputs: Tuple[TensorSpec, ...] = tuple(inputs)
        self.outputs: Tuple[TensorSpec, ...] = tuple(outputs)

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        by_name = {spec.name: spec for spec in self.inputs}
        with self._running:
            if self._engine is None:
                raise InferenceFailed("tensorrt: the session is closed")
            self._cuda.enter()
            held = []  # a copy that is still running must not lose its source
            for name, array in feeds.items():
                spec = by_name.get(name)
                if spec is None or array.shape != spec.shape or array.dtype.name != spec.dtype:
                    raise InferenceFailed(
                        f"tensorrt: {name!r:.80} {array.dtype.name}{list(array.shape)} does not fit"
                    )
                held.append(np.ascontiguousarray(array))
                self._cuda.upload(
                    self._addresses[name], held[-1].ctypes.data, held[-1].nbytes, self._stream
                )
            if not self._context.execute_async_v3(self._stream):
                raise InferenceFailed("tensorrt: the engine did not start")
            found = {spec.name: np.empty(spec.shape, spec.dtype) for spec in self.outputs}
            for name, answer in found.items():
                self._cuda.download(
                    answer.ctypes.data, self._addresses[name], answer.nbytes, self._stream
                )
            self._cuda.wait(self._stream)
            return found

    def effective(self) -> Effective:
        return self._effective

    def close(self) -> None:
        with self._running:
            if self._engine is None:
                return
            self._cuda.enter()
            for address in self._addresses.values():
                self._cuda.free(address)
            self._cuda.end_stream(self._stream)
            self._engine = self._context = None


def check_precision(precision: str, described: onnxfile.OnnxFile) -> None:
    """Refuse what the builder would not do.

    Raises:
        EngineUnavailable: an unknown precision, or int8 of a model that is not quantised.
    """
    if precision not in FLAGS:
        raise EngineUnavailable(f"tensorrt has no precision {precision}; it has {', '.join(FLAGS)}")
    if precision == "int8" and described.precision != "int8":
        raise EngineUnavailable(
            "precision int8 was asked for, but the model is not quantised; build a QDQ variant"
        )


def _bytes_of(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize


def _monitor(progress: Progress) -> Any:
    """TensorRT's progress as calls of `progress`; it may come from several of its threads."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base has no stubs
        def __init__(self) -> None:
            super().__init__()
            self._steps: Dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            del parent_phase
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self._steps.get(phase_name, 0))
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 0)
            progress(phase_name, steps, steps)

    return Monitor()
