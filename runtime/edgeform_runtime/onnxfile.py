"""What an ONNX file says about itself, read with the standard library, without trusting it.

Used before any engine sees the file: which files it wants to read, which operators it needs, what goes
in and out. Weights outside the file must lie in the model's own directory, as ordinary files.
"""

import mmap
import os
import stat
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, Set, Tuple, Union

from edgeform_runtime.errors import ModelRefused

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.preview.training")
MAX_DEPTH = 32
MAX_ELEMENTS = 2**31
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
}
_FOUR_BITS = {21, 22}
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger")

Value = Union[int, memoryview]


@dataclass
class OnnxFile:
    """What was found; shapes have -1 where the model leaves an extent open."""

    ir_version: int = 0
    opsets: Dict[str, int] = field(default_factory=dict)
    inputs: List[Tuple[str, str, Tuple[int, ...]]] = field(default_factory=list)
    outputs: List[Tuple[str, str, Tuple[int, ...]]] = field(default_factory=list)
    operators: Set[str] = field(default_factory=set)
    weight_types: Set[int] = field(default_factory=set)
    external: Set[str] = field(default_factory=set)
    external_ends: Dict[str, int] = field(default_factory=dict)
    """Where the last byte that is wanted of each outside file lies."""
    external_keys: Set[str] = field(default_factory=set)
    parameters: int = 0

    @property
    def precision(self) -> str:
        """In what the weights and the arithmetic are written: int4, int8, f16 or f32."""
        if "MatMulNBits" in self.operators or self.weight_types & _FOUR_BITS:
            return "int4"
        if self.operators & set(_QUANTISED):
            return "int8"
        return "f16" if 10 in self.weight_types and 1 not in self.weight_types else "f32"


_Reader = Callable[[memoryview, OnnxFile, int], None]


def inspect(path: str) -> OnnxFile:
    """What the file says, once everything it refers to is known to be harmless.

    Raises:
        ModelRefused: not ONNX, damaged, foreign operators, or weights outside its directory.
    """
    found = read(path)
    for domain in found.opsets:
        if domain not in KNOWN_DOMAINS:
            raise ModelRefused(
                f"{os.path.basename(path)}: operators of the domain {domain!r} are not part of ONNX"
                " and would need foreign code"
            )
    directory = os.path.dirname(os.path.abspath(path))
    for location in sorted(found.external):
        _check_external(directory, location, os.path.basename(path))
    return found


def read(path: str) -> OnnxFile:
    """What the file says, whatever that is.

    Raises:
        ModelRefused: not ONNX, or damaged.
    """
    name = os.path.basename(path)
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:
                raise ModelRefused(f"{name}: the file is empty")
            # Not closed by hand: an error on its way up still holds slices of the mapping.
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            return _model(memoryview(mapped), name)
    except FileNotFoundError as exc:
        raise ModelRefused(f"{name}: no such file") from exc
    except OSError as exc:
        raise ModelRefused(f"{name}: cannot be read: {exc.strerror}") from exc


def _model(content: memoryview, name: str) -> OnnxFile:
    if bytes(content[:40]).startswith(b"version https://git-lfs"):
        raise ModelRefused(f"{name}: a git-lfs pointer stands here instead of the model")
    found = OnnxFile()
    has_graph = False
    try:
        for number, value in _fields(content):
            if number == 1 and isinstance(value, int):
                found.ir_version = value
            elif number == 7:
                has_graph = True
                _graph(_message(value), found, 0, is_top=True)
            elif number == 8:
                domain, version = _opset(_message(value))
                found.opsets[domain] = version
            elif number == 25:
                _walk(_message(value), {7: _node, 11: _attribute}, found, 0)
            elif number == 20:
                _walk(_message(value), {1: _subgraph, 2: _subgraph}, found, 0)
    except (_Damaged, UnicodeDecodeError) as exc:
        raise ModelRefused(f"{name}: not an ONNX file, or a damaged one ({exc})") from exc
    if not has_graph or not found.opsets or not found.outputs:
        raise ModelRefused(f"{name}: not an ONNX file: no graph with outputs and operator set")
    return found


class _Damaged(Exception):
    """The bytes are no protocol buffer message of the expected form."""


def _fields(message: memoryview) -> Iterator[Tuple[int, Value]]:
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
            if at > end:
                raise _Damaged("truncated")
        elif wire == 2:
            length, at = _varint(message, at)
            if at + length > end:
                raise _Damaged("truncated")
            yield number, message[at : at + length]
            at += length
        else:
            raise _Damaged(f"wire type {wire}")


def _varint(message: memoryview, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise _Damaged("truncated")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Damaged("a number where a message belongs")
    return value


def _text(value: Value) -> str:
    return bytes(_message(value)).decode("utf-8")


def _walk(message: memoryview, readers: Dict[int, _Reader], found: OnnxFile, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _Damaged("nested too deeply")
    for number, value in _fields(message):
        reader = readers.get(number)
        if reader is not None:
            reader(_message(value), found, depth + 1)


def _graph(message: memoryview, found: OnnxFile, depth: int, *, is_top: bool = False) -> None:
    _walk(message, {1: _node, 5: _tensor, 15: _sparse}, found, depth)
    if not is_top:
        return
    weights = {_name_of(_message(v), 8) for n, v in _fields(message) if n == 5}
    for number, value in _fields(message):
        if number == 11:
            spec = _value_info(_message(value))
            if spec[0] not in weights:
                found.inputs.append(spec)
        elif number == 12:
            found.outputs.append(_value_info(_message(value)))


def _subgraph(message: memoryview, found: OnnxFile, depth: int) -> None:
    _graph(message, found, depth)


def _node(message: memoryview, found: OnnxFile, depth: int) -> None:
    for number, value in _fields(message):
        if number == 4:
            found.operators.add(_text(value))
    _walk(message, {5: _attribute}, found, depth)


def _attribute(message: memoryview, found: OnnxFile, depth: int) -> None:
    readers: Dict[int, _Reader] = {
        5: _tensor,
        6: _subgraph,
        10: _tensor,
        11: _subgraph,
        22: _sparse,
        23: _sparse,
    }
    _walk(message, readers, found, depth)


def _sparse(message: memoryview, found: OnnxFile, depth: int) -> None:
    _walk(message, {1: _tensor, 2: _tensor}, found, depth)


def _tensor(message: memoryview, found: OnnxFile, depth: int) -> None:
    del depth
    outside: Dict[str, str] = {}
    elements = 1
    for number, value in _fields(message):
        if number == 1:
            for extent in [value] if isinstance(value, int) else _packed(value):
                elements *= extent
        elif number == 2 and isinstance(value, int):
            found.weight_types.add(value)
        elif number == 13:
            entry = dict(_fields(_message(value)))
            key = _text(entry.get(1, memoryview(b"")))
            outside[key] = _text(entry.get(2, memoryview(b"")))
    found.parameters += elements
    found.external_keys.update(outside)
    if "location" in outside:
        location = outside["location"]
        found.external.add(location)
        end = _number(outside.get("offset", "0")) + _number(outside.get("length", "0"))
        found.external_ends[location] = max(end, found.external_ends.get(location, 0))


def _packed(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise _Damaged(f"a place in a file that is no number: {text!r:.40}")
    return int(text)


def _name_of(message: memoryview, wanted: int) -> str:
    return next((_text(v) for n, v in _fields(message) if n == wanted), "")


def _opset(message: memoryview) -> Tuple[str, int]:
    domain, version = "", 0
    for number, value in _fields(message):
        if number == 1:
            domain = _text(value)
        elif isinstance(value, int):
            version = value
    return domain, version


def _value_info(message: memoryview) -> Tuple[str, str, Tuple[int, ...]]:
    name, dtype = "", ""
    shape: List[int] = []
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for kind, inner in _fields(_message(value)):
                if kind != 1:
                    raise _Damaged("an input or output that is no tensor")
                dtype, shape = _tensor_type(_message(inner))
    return name, dtype, tuple(shape)


def _tensor_type(message: memoryview) -> Tuple[str, List[int]]:
    dtype, elements = "", 1
    shape: List[int] = []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            dtype = DTYPES.get(value, "")
            if not dtype:
                raise _Damaged(f"tensor type {value} is not supported")
        elif number == 2:
            for _, dimension in _fields(_message(value)):
                extents = [v for n, v in _fields(_message(dimension)) if n == 1]
                extent = extents[0] if extents and isinstance(extents[0], int) else -1
                shape.append(extent)
                elements *= max(1, extent)
    if elements > MAX_ELEMENTS:
        raise _Damaged(f"a tensor of {elements} elements")
    return dtype, shape


def _check_external(directory: str, location: str, name: str) -> None:
    """Weights must be ordinary files below the model's directory, reached without any link."""
    parts = location.split("/")
    if not location or location.startswith("/") or "\\" in location or "\0" in location:
        raise ModelRefused(
            f"{name}: refers to weights at {location!r:.80}, which is no path of its own"
        )
    if any(part in ("", ".", "..") for part in parts):
        raise ModelRefused(f"{name}: refers to weights at {location!r:.80}, outside its directory")
    at = directory
    for depth, part in enumerate(parts):
        at = os.path.join(at, part)
        try:
            mode = os.lstat(at).st_mode
        except OSError as exc:
            raise ModelRefused(f"{name}: its weights {location!r:.80} are missing") from exc
        wanted = stat.S_ISREG if depth == len(parts) - 1 else stat.S_ISDIR
        if not wanted(mode):
            raise ModelRefused(f"{name}: its weights {location!r:.80} are a link or no plain file")
