"""OpenVINO: precision pinned, one named device, and both read back from the model as it was compiled.

Left alone it takes bf16 where the CPU has it (MobileNetV2: top-1 agreement 0.75, x86-64 with AVX512-BF16,
OpenVINO 2026.4), and its virtual devices (AUTO, HETERO) fall back to the CPU in silence. So the precision is
always asked for, virtual devices are refused, and what counts is the compiled graph.
"""

import os
import threading
from dataclasses import replace
from typing import Any, Dict, FrozenSet, Mapping, Optional, Tuple

import numpy as np
import openvino as ov

from edgeform_runtime import onnxfile
from edgeform_runtime.arrays import Array
from edgeform_runtime.engines import probe
from edgeform_runtime.engines.base import Effective, EngineConfig, Session, TensorSpec
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed, ModelRefused

CPU = "CPU"
DEVICES = ("CPU", "GPU", "NPU")
HINTS = {"f32": "f32", "f16": "f16", "bf16": "bf16", "int8": "f32"}
"""What is not quantised in an int8 model stays in float32."""
_NARROW = ("bf16", "f16")
_INTEGER = ("i8", "u8", "i4", "u4")
_PASSIVE = ("Const", "Input", "Output", "Reorder", "Reshape", "Result", "Parameter")
_DTYPES = ("float32", "float16", "float64", "uint8", "int8", "int32", "int64", "bool")
_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, IndexError)


def load() -> "OpenVino":
    return OpenVino()


class OpenVino:
    name = "openvino"
    version = str(ov.__version__).partition("-")[0]
    extensions: Tuple[str, ...] = (".xml", ".onnx")

    def __init__(self) -> None:
        self._core = ov.Core()

    def open(self, path: str, config: EngineConfig) -> Session:
        if config.precision not in HINTS:
            raise EngineUnavailable(
                f"openvino has no precision {config.precision}; it has {', '.join(HINTS)}"
            )
        device = self._device(config.provider or CPU)
        if path.endswith(".onnx"):
            onnxfile.inspect(path)
        else:
            _check_weights(path)
        self.probe(device, config)
        model = self._read(path)
        is_half = _keeps_halves(model)
        if is_half and config.precision == "f16" and not self._computes_halves(device):
            # A CPU that cannot would take bf16 instead, which is narrower than what was signed.
            config = replace(config, precision="f32")
        compiled = self._compiled(model, device, config, os.path.basename(path))
        precision = _precision(compiled, config, is_half=is_half)
        return OvSession(
            compiled,
            Effective(
                provider=device,
                precision=precision,
                threads=_threads(compiled, config),
                device="cpu" if device == CPU else "accelerator",
                probe=f"right on {device}",
            ),
        )

    def probe(self, device: str, config: EngineConfig) -> None:
        """Run the probe model on the device and compare its answer.

        Raises:
            EngineUnavailable: the engine imports but does not compute there.
        """
        compiled = self._compiled(probe.ONNX_MODEL, device, config, "the probe model")
        fed = np.asarray([probe.INPUT], np.float32)
        try:
            answer = compiled.create_infer_request().infer({"x": fed})
        except _ERRORS as exc:
            raise EngineUnavailable(
                f"{device} does not run the probe model: {_short(exc)}"
            ) from exc
        probe.judge(np.asarray(answer[0]), device)

    def _device(self, asked: str) -> str:
        family = asked.upper().partition(".")[0]
        if family not in DEVICES:
            raise EngineUnavailable(
                f"device {asked} was asked for; it must be one of {', '.join(DEVICES)},"
                " since virtual devices choose by themselves"
            )
        available = list(self._core.available_devices)
        if not any(found.partition(".")[0] == family for found in available):
            raise EngineUnavailable(
                f"{asked} was asked for; openvino {self.version} finds {', '.join(available) or 'none'}"
                " here: the device, its driver or the group of its node is missing"
            )
        return asked.upper()

    def _read(self, path: str) -> Any:
        try:
            return self._core.read_model(path)
        except _ERRORS as exc:
            raise ModelRefused(
                f"openvino cannot read {os.path.basename(path)}: {_short(exc)}"
            ) from exc

    def _computes_halves(self, device: str) -> bool:
        return "FP16" in self._core.get_property(device, "OPTIMIZATION_CAPABILITIES")

    def _compiled(self, model: Any, device: str, config: EngineConfig, what: str) -> Any:
        wanted: Dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[config.precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if device == CPU:
            wanted["INFERENCE_NUM_THREADS"] = config.threads
            wanted["NUM_STREAMS"] = 1
        try:
            if isinstance(model, bytes):
                model = self._core.read_model(model)
            compiled = self._core.compile_model(model, device, wanted)
            devices = [str(found) for found in compiled.get_property("EXECUTION_DEVICES")]
        except _ERRORS as exc:
            message = f"openvino cannot compile {what} for {device}: {_short(exc)}"
            raise EngineUnavailable(message) from exc
        family = device.partition(".")[0]
        if not devices or any(found.partition(".")[0] != family for found in devices):
            raise EngineUnavailable(
                f"{device} was asked for, but {what} runs on {', '.join(devices)}"
            )
        return compiled


class OvSession:
    """An open model with one infer request; runs exclude each other, outputs are copies."""

    def __init__(self, compiled: Any, effective: Effective) -> None:
        self._request: Optional[Any] = compiled.create_infer_request()
        self._effective = effective
        self._running = threading.Lock()
        self.inputs: Tuple[TensorSpec, ...] = tuple(
            _spec(port, f"input{n}") for n, port in enumerate(compiled.inputs)
        )
        self.outputs: Tuple[TensorSpec, ...] = tuple(
            _spec(port, f"output{n}") for n, port in enumerate(compiled.outputs)
        )
        self._places = {spec.name: n for n, spec in enumerate(self.inputs)}

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        try:
            by_place = {self._places[name]: array for name, array in feeds.items()}
        except KeyError as exc:
            raise InferenceFailed(f"openvino: the model has no input {exc}") from exc
        with self._running:
            if self._request is None:
                raise InferenceFailed("openvino: the session is closed")
            try:
                found = self._request.infer(by_place, share_inputs=True)
            except _ERRORS as exc:
                raise InferenceFailed(f"openvino: {_short(exc)}") from exc
            return {spec.name: np.array(found[n]) for n, spec in enumerate(self.outputs)}

    def effective(self) -> Effective:
        return self._effective

    def close(self) -> None:
        with self._running:
            self._request = None


def executed(compiled: Any) -> FrozenSet[str]:
    """The precisions that the compiled graph's computing nodes run in; empty where a device does not say."""
    try:
        nodes = compiled.get_runtime_model().get_ops()
    except _ERRORS:
        return frozenset()
    found = set()
    for node in nodes:
        told = node.get_rt_info()
        kind = told["layerType"].astype(str) if "layerType" in told else node.get_type_name()
        if kind not in _PASSIVE and "runtimePrecision" in told:
            found.add(told["runtimePrecision"].astype(str).lower())
    return frozenset(found)


def _keeps_halves(model: Any) -> bool:
    return any(
        op.get_type_name() == "Constant" and op.get_output_element_type(0).get_type_name() == "f16"
        for op in model.get_ops()
    )


def _precision(compiled: Any, config: EngineConfig, *, is_half: bool = False) -> str:
    """The narrowest precision in effect.

    Args:
        is_half: the model keeps constants in f16. Nodes that read them are told as f16 then, though they
            compute in float32 where that is the hint in effect (OpenVINO 2026.4, a CPU without FP16).

    Raises:
        EngineUnavailable: narrower than what was asked for, or not quantised though int8 was asked for.
    """
    ran = executed(compiled)
    if not ran:
        ran = frozenset((compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),))
    elif is_half and compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32:
        ran -= {"f16"}
    narrow = [name for name in _NARROW if name in ran]
    is_integer = bool(ran & set(_INTEGER))
    if config.precision == "int8" and not is_integer:
        raise EngineUnavailable(
            f"precision int8 was asked for, but the compiled model computes in {', '.join(sorted(ran))}"
        )
    if narrow and config.precision not in narrow:
        raise EngineUnavailable(
            f"precision {config.precision} was asked for, but parts of the compiled model compute"
            f" in {narrow[0]}"
        )
    return "int8" if is_integer else narrow[0] if narrow else "f32"


def _threads(compiled: Any, config: EngineConfig) -> int:
    try:
        return int(compiled.get_property("INFERENCE_NUM_THREADS"))
    except _ERRORS:
        return config.threads  # accelerators have no such property


def _check_weights(path: str) -> None:
    """Refuse an IR whose weights are not an ordinary file beside it."""
    weights = os.path.splitext(path)[0] + ".bin"
    if os.path.exists(weights) and (os.path.islink(weights) or not os.path.isfile(weights)):
        raise ModelRefused(f"{os.path.basename(weights)} is not an ordinary file")


def _spec(port: Any, otherwise: str) -> TensorSpec:
    names = sorted(port.get_names())
    name = str(port.get_any_name()) if names else otherwise
    dtype = np.dtype(port.get_element_type().to_dtype()).name
    if dtype not in _DTYPES:
        raise ModelRefused(f"{name}: {dtype} is no tensor this runtime can pass on")
    shape = tuple(
        int(extent.get_length()) if extent.is_static else -1 for extent in port.get_partial_shape()
    )
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def _short(exc: Exception) -> str:
    """The last line that says something: the first ones are source positions of the engine."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception from")]
    return (telling or lines or [type(exc).__name__])[-1][:300]
