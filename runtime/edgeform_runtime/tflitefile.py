"""What a TFLite file says about itself, read with the standard library, every offset checked.

TFLite's own reader in Python does not verify: tflite-runtime 2.14 dies of a segmentation fault on a file that
was cut short (seen 2026-11). So a file is walked here before an engine sees it.
Field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

import os
import stat
import struct
from dataclasses import dataclass
from typing import List, Optional, Tuple

from edgeform_runtime.errors import ModelRefused

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
MAX_ITEMS = 1_000_000
MAX_RANK = 16
DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
}
_QUANTISED = (3, 7, 9, 17)
_FLOAT16 = 1

Tensor = Tuple[str, str, Tuple[int, ...]]


@dataclass(frozen=True)
class TfliteFile:
    """What was found; shapes have -1 where the model leaves an extent open.

    Args:
        precision: how weights and arithmetic are written: int8, f16 or f32.
        custom: operators that only a delegate has, as `edgetpu-custom-op`.
    """

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    precision: str
    custom: Tuple[str, ...]


def inspect(path: str) -> TfliteFile:
    """What the file says.

    Raises:
        ModelRefused: not TFLite, damaged, or not an ordinary file.
    """
    name = os.path.basename(path)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ModelRefused(f"{name} is not an ordinary file")
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as exc:
        raise ModelRefused(f"{name} cannot be read: {exc.strerror}") from exc
    return read(content, name)


def read(content: bytes, name: str) -> TfliteFile:
    """The same for a file's bytes.

    Raises:
        ModelRefused: not TFLite, or damaged.
    """
    if content[4:8] != IDENTIFIER:
        raise ModelRefused(f"{name} is not a TFLite file")
    try:
        return _model(_Table(content, struct.unpack_from("<I", content, 0)[0]))
    except (_Damaged, struct.error, UnicodeDecodeError) as exc:
        raise ModelRefused(f"{name} is damaged: {exc}") from exc


class _Damaged(Exception):
    """An offset or a length leads out of the file."""


class _Table:
    """A FlatBuffers table; every position is checked against the file before it is used."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at
        _inside(content, at, 4)
        self._vtable = at - struct.unpack_from("<i", content, at)[0]
        _inside(content, self._vtable, 4)
        self._size, self._extent = struct.unpack_from("<HH", content, self._vtable)
        _inside(content, self._vtable, self._size)
        _inside(content, at, self._extent)

    def number(self, field: int, form: str, default: int = 0) -> int:
        place = self._place(field)
        if place is None:
            return default
        _inside(self._content, place, struct.calcsize(form))
        return int(struct.unpack_from(form, self._content, place)[0])

    def bytes(self, field: int) -> bytes:
        """A string or a vector of bytes."""
        at, count = self._vector(field, 1)
        return self._content[at : at + count]

    def numbers(self, field: int, form: str = "<i") -> List[int]:
        size = struct.calcsize(form)
        at, count = self._vector(field, size)
        return [struct.unpack_from(form, self._content, at + n * size)[0] for n in range(count)]

    def tables(self, field: int) -> List["_Table"]:
        at, count = self._vector(field, 4)
        places = range(at, at + 4 * count, 4)
        return [_Table(self._content, self._target(place)) for place in places]

    def table(self, field: int) -> Optional["_Table"]:
        place = self._place(field)
        return None if place is None else _Table(self._content, self._target(place))

    def _vector(self, field: int, size: int) -> Tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        at = self._target(place)
        _inside(self._content, at, 4)
        (count,) = struct.unpack_from("<I", self._content, at)
        if size > 1 and count > MAX_ITEMS:
            raise _Damaged(f"{count} entries in one list")
        _inside(self._content, at + 4, count * size)
        return at + 4, count

    def _place(self, field: int) -> Optional[int]:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        (offset,) = struct.unpack_from("<H", self._content, self._vtable + entry)
        if offset >= max(self._extent, 1):
            raise _Damaged(f"field {field} lies outside its table")
        return self._at + offset if offset else None

    def _target(self, place: int) -> int:
        _inside(self._content, place, 4)
        return place + int(struct.unpack_from("<I", self._content, place)[0])


def _inside(content: bytes, at: int, size: int) -> None:
    if at < 0 or size < 0 or at + size > len(content):
        raise _Damaged(f"byte {at + size} of a file of {len(content)}")


def _model(model: _Table) -> TfliteFile:
    version = model.number(0, "<I")
    if version != SCHEMA_VERSION:
        raise _Damaged(f"schema version {version}, not {SCHEMA_VERSION}")
    custom = tuple(code.bytes(1).decode("utf-8") for code in model.tables(1) if code.bytes(1))
    buffers = model.tables(4)
    for buffer in buffers:
        buffer.bytes(0)
    graphs = model.tables(2)
    if not graphs:
        raise _Damaged("it has no graph")
    codes = len(model.tables(1))
    types: List[int] = []
    for graph in graphs:
        types += _checked(graph, codes, len(buffers))
    tensors = graphs[0].tables(0)
    return TfliteFile(
        inputs=tuple(_described(tensors[n]) for n in graphs[0].numbers(1)),
        outputs=tuple(_described(tensors[n]) for n in graphs[0].numbers(2)),
        precision=_precision(types),
        custom=custom,
    )


def _checked(graph: _Table, codes: int, buffers: int) -> List[int]:
    """The types of a graph's tensors, once every reference in it is known to lead somewhere."""
    tensors = graph.tables(0)
    types = []
    for tensor in tensors:
        _described(tensor)
        if tensor.number(2, "<I") >= buffers:
            raise _Damaged("a tensor has no buffer")
        is_quantised = (tensor.table(4) or tensor).numbers(2, "<f") if tensor.table(4) else []
        kind = tensor.number(1, "<b")
        types.append(kind if kind not in _QUANTISED or is_quantised else -1)
    for operator in graph.tables(3):
        if operator.number(0, "<I") >= codes:
            raise _Damaged("an operator has no code")
        for n in (*operator.numbers(1), *operator.numbers(2)):
            if not -1 <= n < len(tensors):
                raise _Damaged(f"an operator names tensor {n} of {len(tensors)}")
    for n in (*graph.numbers(1), *graph.numbers(2)):
        if not 0 <= n < len(tensors):
            raise _Damaged(f"the graph names tensor {n} of {len(tensors)}")
    return types


def _described(tensor: _Table) -> Tensor:
    shape = tensor.numbers(7) or tensor.numbers(0)
    if len(shape) > MAX_RANK:
        raise _Damaged(f"a tensor of {len(shape)} dimensions")
    kind = tensor.number(1, "<b")
    return tensor.bytes(3).decode("utf-8"), DTYPES.get(kind, f"type {kind}"), tuple(shape)


def _precision(types: List[int]) -> str:
    if any(kind in _QUANTISED for kind in types):
        return "int8"
    return "f16" if _FLOAT16 in types else "f32"
