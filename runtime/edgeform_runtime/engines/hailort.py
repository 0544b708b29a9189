"""HailoRT: compiled models (.hef) on Hailo-8, 8L and 10H, through the Python package of the device's system.

The interface is that of the HailoRT user guide, "Python inference tutorial: InferModel" (VDevice, InferModel,
bindings), and `Device.scan` and `control.identify` of its "Python API reference". There is no CPU behind it.
A tiny model needs the vendor's compiler, so the self test is the model itself, run twice.
"""

import os
import threading
from importlib import metadata
from typing import Any, Dict, List, Mapping, Optional, Tuple

import hailo_platform
import numpy as np

from edgeform_runtime import hef
from edgeform_runtime.arrays import Array
from edgeform_runtime.engines.base import Effective, EngineConfig, Session, TensorSpec
from edgeform_runtime.engines.selftest import check_twice
from edgeform_runtime.errors import EngineUnavailable, InferenceFailed

TIMEOUT_MS = 10_000
_BOARDS = {"HAILO8": "hailo-8", "HAILO8L": "hailo-8l", "HAILO10H": "hailo-10h"}
_ERRORS = (RuntimeError, ValueError, TypeError, OSError, KeyError)


def load() -> "HailoRt":
    version = getattr(hailo_platform, "__version__", None) or metadata.version("hailort")
    return HailoRt(str(version))


class HailoRt:
    name = "hailort"
    extensions: Tuple[str, ...] = (".hef",)

    def __init__(self, version: str) -> None:
        self.version = version

    def open(self, path: str, config: EngineConfig) -> Session:
        described = hef.inspect(path)
        board = self._board()
        if (config.provider or board) != board:
            raise EngineUnavailable(f"{config.provider} was asked for; this device has {board}")
        if board not in hef.RUNS_ON.get(described.architecture, ()):
            raise EngineUnavailable(
                f"{os.path.basename(path)} was compiled for {described.architecture}; this is a {board}"
            )
        if config.precision not in ("f32", "int8"):
            raise EngineUnavailable(
                f"precision {config.precision} was asked for; a Hailo computes in int8"
            )
        try:
            session = HailoSession(path, board, config.threads)
        except _ERRORS as exc:
            raise EngineUnavailable(
                f"hailort {self.version} cannot open {os.path.basename(path)}: {_short(exc)}"
            ) from exc
        try:
            check_twice(session, board)
        except (EngineUnavailable, InferenceFailed) as exc:
            session.close()
            raise EngineUnavailable(exc.summary) from exc
        return session

    def _board(self) -> str:
        """The kind of the first device, as it identifies itself."""
        try:
            found = hailo_platform.Device.scan()
            if not found:
                raise EngineUnavailable(
                    "no Hailo device answers: is hailo_pci loaded, and of the library's version?"
                )
            device = hailo_platform.Device(found[0])
            try:
                kind = device.control.identify().device_architecture
            finally:
                device.release()
        except _ERRORS as exc:
            raise EngineUnavailable(f"the Hailo device does not answer: {_short(exc)}") from exc
        name = str(getattr(kind, "name", kind)).rpartition(".")[2].upper()
        if name not in _BOARDS:
            raise EngineUnavailable(f"a Hailo of kind {name} is not known here")
        return _BOARDS[name]


class HailoSession:
    """A configured model. Tensors outside are float32: HailoRT converts with the model's own scales."""

    def __init__(self, path: str, board: str, threads: int) -> None:
        self._board = board
        self._threads = threads
        self._running = threading.Lock()
        self._device: Optional[Any] = hailo_platform.VDevice()
        model = self._device.create_infer_model(path)
        model.set_batch_size(1)
        real = hailo_platform.FormatType.FLOAT32
        inputs: List[TensorSpec] = []
        outputs: List[TensorSpec] = []
        # Formats hold only when they are set before `configure`.
        for name in model.input_names:
            model.input(name).set_format_type(real)
            inputs.append(_spec(name, model.input(name).shape))
        for name in model.output_names:
            model.output(name).set_format_type(real)
            outputs.append(_spec(name, model.output(name).shape))
        self.inputs: Tuple[TensorSpec, ...] = tuple(inputs)
        self.outputs: Tuple[TensorSpec, ...] = tuple(outputs)
        self._configured = model.configure()

    def infer(self, feeds: Mapping[str, Array]) -> Dict[str, Array]:
        by_name = {spec.name: spec for spec in self.inputs}
        with self._running:
            if self._device is None:
                raise InferenceFailed("hailort: the session is closed")
            try:
                bindings = self._configured.create_bindings()
                for name, array in feeds.items():
                    spec = by_name[name]
                    if array.shape != spec.shape or array.dtype.name != spec.dtype:
                        raise InferenceFailed(
                            f"hailort: {name!r:.80} {array.dtype.name}{list(array.shape)} does not fit"
                        )
                    bindings.input(name).set_buffer(np.ascontiguousarray(array[0]))
                found = {}
                for spec in self.outputs:
                    found[spec.name] = np.empty(spec.shape, np.float32)
                    bindings.output(spec.name).set_buffer(found[spec.name][0])
                self._configured.run([bindings], TIMEOUT_MS)
            except _ERRORS as exc:
                raise InferenceFailed(f"hailort: {_short(exc)}") from exc
            return found

    def effective(self) -> Effective:
        return Effective(
            provider=self._board,
            precision="int8",
            threads=self._threads,
            device="accelerator",
            probe=f"right on {self._board}: the model itself, twice the same finite answer",
        )

    def close(self) -> None:
        with self._running:
            if self._device is not None:
                self._configured = None
                self._device.release()
                self._device = None


def _spec(name: str, shape: Any) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=(1, *(int(extent) for extent in shape)))


def _short(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc!s:.200}"
