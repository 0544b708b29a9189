"""ONNX Runtime: one thread, no spinning, and the asked provider in effect or none at all.

Facts behind the settings (Debian 12, 2 cores, ONNX Runtime 1.32): spinning doubles p50 on a shared core
(3.4 to 7.4 ms), and a CPU build that is asked for CUDA only warns, runs on the CPU and passes every
numeric check. So the provider list, the session's own answer and a probe model with a known result
all have to agree before a model is opened.
"""

import os
from typing import Any, Dict, Mapping, Tuple, Union

import numpy as np

# Since 1.32 its Linux wheel keeps events in ~/.cache and uploads them; only before the first import does
# this hold (seen with strace, 2026-11: a thread and a database less). Nothing leaves a device unasked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from edgeform_runtime import onnxfile
from edgeform_runtime.arrays import Array
from edgeform_runtime.engines import probe
from edgeform_runtime.engines.base import Effective, EngineConfig, Session, TensorSpec
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed, ModelRefused

CPU = "CPUExecutionProvider"
_SHORT_NAMES = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_QUIET = 3  # errors only: what the engine says otherwise is no JSON
_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}

_ENGINE_ERRORS: Tuple[Any, ...] = tuple(
    found
    for found in vars(_state).values()
    if isinstance(found, type) and issubclass(found, Exception)
)
"""The engine's own exceptions, which share no base but Exception."""


def load() -> "OnnxRuntime":
    return OnnxRuntime()


def provider_name(asked: str) -> str:
    """The engine's own name of a provider; `cpu`, `cuda`, `tensorrt`, `openvino` are short for theirs."""
    return _SHORT_NAMES.get(asked.lower(), asked)


class OnnxRuntime:
    name = "onnxruntime"
    version = str(ort.__version__)
    extensions: Tuple[str, ...] = (".onnx",)

    def open(self, path: str, config: EngineConfig) -> Session:
        described = onnxfile.inspect(path)
        if config.precision not in ("f32", described.precision):
            raise EngineUnavailable(
                f"precision {config.precision} was asked for, but the model computes in"
                f" {described.precision} and this engine does not convert"
            )
        provider = provider_name(config.provider or CPU)
        available = tuple(ort.get_available_providers())
        if provider not in available:
            raise EngineUnavailable(
                f"{provider} was asked for; this closure's onnxruntime {self.version} has"
                f" {', '.join(available)}"
            )
        self.probe(provider, config)
        raw = _session(path, provider, config)
        return OrtSession(
            raw,
            Effective(
                provider=_first_provider(raw),
                precision=described.precision,
                threads=config.threads,
                device="cpu" if provider == CPU else "accelerator",
                probe=f"right on {provider}",
            ),
        )

    def probe(self, provider: str, config: EngineConfig) -> None:
        """Run the probe model on the provider and compare its answer.

        Raises:
            EngineUnavailable: the engine imports but does not compute, or computes elsewhere.
        """
        session = _session(probe.ONNX_MODEL, provider, config)
        fed = np.asarray([probe.INPUT], np.float32)
        answer = session.run(None, {"x": fed})[0]
        probe.judge(answer, provider)


class OrtSession:
    """An open model. Runs are thread-safe in ONNX Runtime; outputs belong to the caller."""

    def __init__(self, raw: Any, effective: Effective) -> None:
        self._raw = raw
        self._effective = effective
        self.inputs: Tuple[TensorSpec, ...] = tuple(_spec(node) for node in raw.get_inputs())
        self.outputs: Tuple[TensorSpec, ...] = tuple(_spec(node) for node in raw.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        raw = self._raw
        if raw is None:
            raise InferenceFailed("onnxruntime: the session is closed")
        try:
            return dict(zip(self._names, raw.run(self._names, dict(feeds))))
        except (*_ENGINE_ERRORS, RuntimeError, ValueError, TypeError) as exc:
            raise InferenceFailed(f"onnxruntime: {exc!s:.300}") from exc

    def effective(self) -> Effective:
        return self._effective

    def close(self) -> None:
        self._raw = None


def _session(model: Union[str, bytes], provider: str, config: EngineConfig) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    what = "the probe model" if isinstance(model, bytes) else os.path.basename(model)
    try:
        # enable_fallback: the Python binding retries on the CPU by itself, and says so on stdout.
        session = ort.InferenceSession(model, options, providers=[provider], enable_fallback=0)
    except (*_ENGINE_ERRORS, RuntimeError, ValueError, TypeError) as exc:
        message = f"onnxruntime cannot open {what} on {provider}: {exc!s:.300}"
        if isinstance(model, bytes) or provider != CPU:
            raise EngineUnavailable(message) from exc
        raise ModelRefused(message) from exc
    if _first_provider(session) != provider:
        session_has = ", ".join(session.get_providers())
        raise EngineUnavailable(f"{provider} was asked for, but {what} runs on {session_has}")
    return session


def _first_provider(session: Any) -> str:
    providers = session.get_providers()
    return str(providers[0]) if providers else "none"


def _spec(node: Any) -> TensorSpec:
    if node.type not in _TYPES:
        raise ModelRefused(f"{node.name}: {node.type} is no tensor this runtime can pass on")
    shape = tuple(extent if isinstance(extent, int) else -1 for extent in node.shape)
    return TensorSpec(name=node.name, dtype=_TYPES[node.type], shape=shape)
