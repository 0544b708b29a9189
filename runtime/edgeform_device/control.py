"""Talking to a runtime over its control socket: requests and raw tensors, never opinions."""

import io
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Dict, Sequence, Tuple

from edgeform_device.errors import DeviceError
from edgeform_wire import frames
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

ANSWER_LIMIT_BYTES = 256 * 1024 * 1024


class RuntimeSilent(DeviceError):
    """The runtime does not answer: no socket, no reply in time, or not the agreed form."""

    code = "runtime_silent"


class RuntimeRefused(DeviceError):
    """The runtime answered that it cannot do what it was asked; `reason` is its own word for why."""

    code = "runtime_refused"
    reason = ""


@dataclass(frozen=True)
class RawTensor:
    """A tensor as it came over the socket: row-major, little-endian."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    content: bytes


@dataclass(frozen=True)
class Inference:
    """What the runtime computed.

    Args:
        result: the postprocessed answer of an encoded input. result_error: why there is none.
        inputs: what preprocessing made of an encoded input, where the runtime tells.
    """

    outputs: Tuple[RawTensor, ...]
    result: Any
    inputs: Tuple[RawTensor, ...] = ()
    result_error: str = ""


class Control:
    """One connection to one runtime. Use as a context manager.

    Raises:
        RuntimeSilent: from every method, when there is no usable answer within `timeout_s`.
        RuntimeRefused: from every method, when the runtime says no.
    """

    def __init__(self, socket_path: str, timeout_s: float = 30.0) -> None:
        self._path = socket_path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            _connect(self._socket, socket_path)
        except OSError as exc:
            self._socket.close()
            raise RuntimeSilent(f"no answer on {socket_path}", str(exc)) from exc
        self._stream: BinaryIO = self._socket.makefile("rwb")  # type: ignore[assignment]  # raw pair

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        try:
            self._stream.close()
        except OSError:
            pass  # what was not sent no longer matters
        self._socket.close()

    def ask(self, request: Dict[str, Any], body: bytes = b"") -> Tuple[Dict[str, Any], bytes]:
        """One request, one answer."""
        try:
            frames.write(self._stream, request, (body,), len(body))
            answer = frames.read(self._stream, ANSWER_LIMIT_BYTES)
        except (OSError, WireError) as exc:
            raise RuntimeSilent(
                "no usable answer to {!r} on {}".format(request.get("op"), self._path), str(exc)
            ) from exc
        if answer is None:
            raise RuntimeSilent(f"{self._path} was closed by the runtime")
        header, content = answer
        if header.get("ok") is not True:
            error = header.get("error")
            detail = error.get("summary", "") if isinstance(error, dict) else repr(error)
            refused = RuntimeRefused(
                "the runtime refused {!r}".format(request.get("op")), str(detail)
            )
            refused.reason = str(error.get("code", "")) if isinstance(error, dict) else ""
            raise refused
        return header, content

    def peer_pid(self) -> int:
        """The process that listens on the socket, as the kernel says; 0 where it is out of our sight."""
        credentials = self._socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        return int(struct.unpack("3i", credentials)[0])

    def state(self) -> Dict[str, Any]:
        return self.ask({"op": "state"})[0]

    def infer_tensors(self, slot: str, inputs: Sequence[RawTensor]) -> Inference:
        """Run the network on tensors, nothing before and nothing after it."""
        described = [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in inputs]
        header, content = self.ask(
            {"op": "infer", "slot": slot, "level": "tensor", "inputs": described},
            b"".join(t.content for t in inputs),
        )
        return _inference(header, content)

    def infer_encoded(self, slot: str, frame: bytes) -> Inference:
        """Run the whole pipeline up to its postprocessing on a file as the camera gives it."""
        request: Dict[str, Any] = {"op": "infer", "slot": slot, "level": "encoded"}
        if isinstance(self.state().get("slots"), dict):
            # A runtime that tells its slots also shows its inputs; one before that knows no such field.
            request["shows_inputs"] = True
        header, content = self.ask(request, frame)
        return _inference(header, content)


def _inference(header: Dict[str, Any], content: bytes) -> Inference:
    from edgeform_wire import golden  # noqa: PLC0415 - whoever asks how it is infers nothing

    try:
        fields = Fields({n: header.get(n) or [] for n in ("outputs", "inputs")}, "answer")
        stream = io.BytesIO(content)
        found = []
        for which in ("outputs", "inputs"):
            tensors = []
            for name, dtype, shape in fields.each(which, _described):
                size = golden.DTYPE_BYTES[dtype]
                for extent in shape:
                    size *= extent
                raw = stream.read(size)
                if len(raw) != size:
                    raise WireError(f"{which} {name!r} is cut off")
                tensors.append(RawTensor(name, dtype, shape, raw))
            found.append(tuple(tensors))
        if stream.read(1):
            raise WireError("bytes behind the last tensor")
    except WireError as exc:
        raise RuntimeSilent("the runtime's answer has not the agreed form", str(exc)) from exc
    error = header.get("result_error")
    return Inference(
        outputs=found[0],
        result=header.get("result"),
        inputs=found[1],
        result_error=error[:200] if isinstance(error, str) else "",
    )


def _described(value: Any, what: str) -> Tuple[str, str, Tuple[int, ...]]:
    from edgeform_wire.golden import DTYPE_BYTES  # noqa: PLC0415 - see above

    fields = Fields(value, what)
    name = fields.text("name")
    dtype = fields.choice("dtype", tuple(DTYPE_BYTES))
    shape = fields.each("shape", _extent)
    return name, dtype, shape


def _extent(value: Any, what: str) -> int:
    if type(value) is not int or value < 0:
        raise WireError(f"{what}: {value!r:.40} is not an extent")
    return value


def _connect(connection: socket.socket, path: str) -> None:
    """Connect, also where the path is longer than the 107 bytes a socket address holds."""
    if len(os.fsencode(path)) < 100:
        connection.connect(path)
        return
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
