"""What `litert` and `tflite` share: both packages have TFLite's interpreter, in versions that differ.

A delegate counts only when it took operators out of the prepared graph: TFLite runs on without a word where a
delegate takes none. With a delegate asked for, the CPU's own (XNNPACK) is left out, so that the two cannot be
mistaken for each other.
"""

import os
import threading
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

import numpy as np

from edgeform_runtime import tflitefile
from edgeform_runtime.arrays import Array
from edgeform_runtime.engines import probe
from edgeform_runtime.engines.base import Effective, EngineConfig, Session, TensorSpec
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed, ModelRefused

CPU = "CPU"
LIBRARIES = {"EDGETPU": "libedgetpu.so.1", "VX": "libvx_delegate.so"}
"""Delegates by the short names that a hardware class uses; a library's own name is understood too."""
_DELEGATED = "DELEGATE"
_ERRORS = (RuntimeError, ValueError, TypeError, SystemError)
_DTYPES = ("float32", "float16", "float64", "uint8", "int8", "int32", "int64", "bool")


@dataclass(frozen=True)
class Package:
    """The interpreter's module, and what edgeform calls the engine."""

    name: str
    version: str
    module: Any


class TfliteEngine:
    extensions: Tuple[str, ...] = (".tflite",)

    def __init__(self, package: Package) -> None:
        self._package = package
        self.name = package.name
        self.version = package.version

    def open(self, path: str, config: EngineConfig) -> Session:
        described = tflitefile.inspect(path)
        provider = config.provider or CPU
        library = library_of(provider)
        if config.precision not in ("f32", described.precision):
            raise EngineUnavailable(
                f"precision {config.precision} was asked for, but the model is written in"
                f" {described.precision} and {self.name} does not convert"
            )
        self.probe(config)
        delegate = None if library is None else self._delegate(provider, library)
        raw = self._prepared(path, config, delegate, os.path.basename(path))
        taken, total = taken_by_delegate(raw) if library is not None else (0, 0)
        if library is not None and not taken:
            raise EngineUnavailable(
                f"{provider} was asked for and {library} is loaded, but it took none of the model's"
                f" {total} operators: they would run on the CPU. Is the model compiled for it?"
            )
        return TfliteSession(
            raw,
            delegate,
            self.name,
            Effective(
                provider=provider,
                precision="int8" if described.precision == "int8" else "f32",
                threads=config.threads,
                device="cpu" if library is None else "accelerator",
                probe=f"right on {CPU}"
                + ("" if library is None else "; no compiler here for the delegate's own"),
                delegate=None if library is None else f"{library}: {taken} of {total} operators",
            ),
        )

    def probe(self, config: EngineConfig) -> None:
        """Run the probe model on the CPU and compare its answer.

        A delegate runs only what was compiled for it: its proof is the model it takes, and its goldens.

        Raises:
            EngineUnavailable: the package imports but does not compute (numpy 2 under tflite-runtime 2.14).
        """
        try:
            raw = self._package.module.Interpreter(
                model_content=probe.TFLITE_MODEL, num_threads=config.threads
            )
            raw.allocate_tensors()
            raw.set_tensor(raw.get_input_details()[0]["index"], np.asarray([probe.INPUT], "f4"))
            raw.invoke()
            answer = raw.get_tensor(raw.get_output_details()[0]["index"])
        except (*_ERRORS, ImportError, AttributeError) as exc:
            raise EngineUnavailable(
                f"{self.name} cannot run the probe model: {exc!s:.300}"
            ) from exc
        probe.judge(answer, self.name)

    def _delegate(self, provider: str, library: str) -> Any:
        try:
            return self._package.module.load_delegate(library)
        except (OSError, *_ERRORS) as exc:
            raise EngineUnavailable(
                f"{provider} was asked for, but its delegate cannot be loaded: {exc!s:.300}"
            ) from exc

    def _prepared(self, path: str, config: EngineConfig, delegate: Any, what: str) -> Any:
        module = self._package.module
        more: Dict[str, Any] = {}
        if delegate is not None:
            more["experimental_delegates"] = [delegate]
            more["experimental_op_resolver_type"] = (
                module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            )
        try:
            raw = module.Interpreter(model_path=path, num_threads=config.threads, **more)
            raw.allocate_tensors()
        except _ERRORS as exc:
            message = f"{self.name} cannot open {what}: {exc!s:.300}"
            if delegate is not None:
                raise EngineUnavailable(message) from exc
            raise ModelRefused(message) from exc
        return raw


class TfliteSession:
    """An open model; the interpreter has one set of tensors, so runs exclude each other."""

    def __init__(self, raw: Any, delegate: Any, name: str, effective: Effective) -> None:
        self._raw: Optional[Any] = raw
        self._delegate = delegate  # the interpreter does not keep it alive
        self._name = name
        self._effective = effective
        self._running = threading.Lock()
        self._in: Dict[str, Any] = {d["name"]: d for d in raw.get_input_details()}
        self._out: List[Any] = list(raw.get_output_details())
        self.inputs: Tuple[TensorSpec, ...] = tuple(_spec(d) for d in self._in.values())
        self.outputs: Tuple[TensorSpec, ...] = tuple(_spec(d) for d in self._out)

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        with self._running:
            raw = self._raw
            if raw is None:
                raise InferenceFailed(f"{self._name}: the session is closed")
            try:
                for name, array in feeds.items():
                    raw.set_tensor(self._in[name]["index"], array)
                raw.invoke()
                # get_tensor copies; `tensor()` would be a view that keeps the interpreter from running.
                return {d["name"]: np.array(raw.get_tensor(d["index"])) for d in self._out}
            except KeyError as exc:
                raise InferenceFailed(f"{self._name}: the model has no input {exc}") from exc
            except _ERRORS as exc:
                raise InferenceFailed(f"{self._name}: {exc!s:.300}") from exc

    def effective(self) -> Effective:
        return self._effective

    def close(self) -> None:
        with self._running:
            self._raw = None
            self._delegate = None


def library_of(provider: str) -> Optional[str]:
    """The delegate's library; None for the CPU.

    Raises:
        EngineUnavailable: neither a known name nor a library's name.
    """
    if provider.upper() == CPU:
        return None
    known = LIBRARIES.get(provider.upper())
    if known is not None:
        return known
    # Only a name: the system's loader decides where libraries may come from.
    if provider.startswith("lib") and ".so" in provider and "/" not in provider:
        return provider
    raise EngineUnavailable(
        f"{provider} was asked for; there are CPU, edgetpu, vx, or the name"
        " of a delegate's library such as libvx_delegate.so"
    )


def taken_by_delegate(raw: Any) -> Tuple[int, int]:
    """(how many of the model's operators a delegate computes, how many there are).

    Replaced operators stay in the interpreter's list, so the graph is walked from its outputs backwards over
    what really runs.
    """
    nodes = raw._get_ops_details()  # noqa: SLF001 - nothing public says what a delegate took
    own = [node for node in nodes if node["op_name"] != _DELEGATED]
    makers: Dict[int, Any] = {}
    for node in (*own, *(node for node in nodes if node["op_name"] == _DELEGATED)):
        for output in node["outputs"]:
            makers[int(output)] = node
    wanted = [int(d["index"]) for d in raw.get_output_details()]
    seen: Set[int] = set()
    running: List[Any] = []
    while wanted:
        tensor = wanted.pop()
        node = makers.get(tensor)
        if tensor in seen or node is None:
            continue
        seen.add(tensor)
        running.append(node)
        wanted += [int(n) for n in node["inputs"] if int(n) >= 0]
    left = {node["index"] for node in running if node["op_name"] != _DELEGATED}
    has_delegate = any(node["op_name"] == _DELEGATED for node in running)
    return (len(own) - len(left) if has_delegate else 0), len(own)


def _spec(detail: Mapping[str, Any]) -> TensorSpec:
    dtype = np.dtype(detail["dtype"]).name
    if dtype not in _DTYPES:
        raise ModelRefused(f"{detail['name']}: {dtype} is no tensor this runtime can pass on")
    open_shape = detail.get("shape_signature")
    extents = detail["shape"] if open_shape is None or not len(open_shape) else open_shape
    scale, zero_point = detail["quantization"]
    is_quantised = bool(scale) and dtype in ("int8", "uint8")
    return TensorSpec(
        name=detail["name"],
        dtype=dtype,
        shape=tuple(int(extent) for extent in extents),
        scale=float(scale) if is_quantised else None,
        zero_point=int(zero_point) if is_quantised else None,
    )
