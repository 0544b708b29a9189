"""TFLite files written from a description, for models of a few hundred bytes.

A FlatBuffers writer of the simplest kind: parents first, children behind them, no sharing. Field numbers are
those of TensorFlow's `schema_v3c.fbs` (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

FLOAT32, FLOAT16, INT32, INT8 = 0, 1, 2, 9
ADD, MUL, CUSTOM = 0, 18, 32
_OPTIONS = {ADD: 11, MUL: 21}
Fields = dict[int, "Scalar | Writer"]
Writer = Callable[[bytearray], int]
"""Appends itself, aligned, and gives its position."""


@dataclass(frozen=True, slots=True)
class Scalar:
    format: str
    value: float


def u32(value: int) -> Scalar:
    return Scalar("<I", value)


def i8(value: int) -> Scalar:
    return Scalar("<b", value)


def table(fields: Fields) -> Writer:
    def write(out: bytearray) -> int:
        _align(out, 4, 4 + 2 * (1 + max(fields, default=-1)))
        count = 1 + max(fields, default=-1)
        vtable = len(out)
        out += bytes(4 + 2 * count)
        at = len(out)
        out += struct.pack("<i", at - vtable)
        places: dict[int, int] = {}
        for number, value in fields.items():
            size = struct.calcsize(value.format) if isinstance(value, Scalar) else 4
            _align(out, size)
            places[number] = len(out)
            out += struct.pack(value.format, value.value) if isinstance(value, Scalar) else bytes(4)
        struct.pack_into("<HH", out, vtable, 4 + 2 * count, len(out) - at)
        for number, place in places.items():
            struct.pack_into("<H", out, vtable + 4 + 2 * number, place - at)
        for number, value in fields.items():
            if not isinstance(value, Scalar):
                place = places[number]
                struct.pack_into("<I", out, place, value(out) - place)
        return at

    return write


def numbers(format_: str, values: Sequence[float]) -> Writer:
    def write(out: bytearray) -> int:
        _align(out, max(4, struct.calcsize(format_)), 4)
        at = len(out)
        out += struct.pack("<I", len(values))
        for value in values:
            out += struct.pack(format_, value)
        return at

    return write


def raw(content: bytes) -> Writer:
    def write(out: bytearray) -> int:
        _align(out, 16, 4)  # TFLite wants buffers at multiples of 16
        at = len(out)
        out += struct.pack("<I", len(content)) + content
        return at

    return write


def text(value: str) -> Writer:
    def write(out: bytearray) -> int:
        _align(out, 4)
        at = len(out)
        out += struct.pack("<I", len(value)) + value.encode() + b"\0"
        return at

    return write


def tables(writers: Sequence[Writer]) -> Writer:
    def write(out: bytearray) -> int:
        _align(out, 4)
        at = len(out)
        out += struct.pack("<I", len(writers)) + bytes(4 * len(writers))
        for n, writer in enumerate(writers):
            place = at + 4 + 4 * n
            struct.pack_into("<I", out, place, writer(out) - place)
        return at

    return write


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type: int = FLOAT32
    content: bytes = b""
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`code` is a builtin operator; a custom one has its name."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    custom: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str = field(default="probe")


def tflite(graph: Graph) -> bytes:
    """The bytes of a TFLite file with that graph."""
    model = table(
        {
            0: u32(3),
            1: tables([_code(operator) for operator in graph.operators]),
            2: tables([_subgraph(graph)]),
            3: text(graph.description),
            4: tables([table({}), *(_buffer(tensor) for tensor in graph.tensors)]),
        }
    )
    out = bytearray(struct.pack("<I", 0) + b"TFL3")
    struct.pack_into("<I", out, 0, model(out))
    return bytes(out)


def probe_model() -> bytes:
    """Gives x (1, 4) -> y = x * (1, 2, 3, 4) + 0.5: what `engines/probe.py` carries."""
    four = struct.Struct("<4f")
    return tflite(
        Graph(
            tensors=(
                Tensor(name="x", shape=(1, 4)),
                Tensor(name="w", shape=(4,), content=four.pack(1, 2, 3, 4)),
                Tensor(name="b", shape=(4,), content=four.pack(0.5, 0.5, 0.5, 0.5)),
                Tensor(name="p", shape=(1, 4)),
                Tensor(name="y", shape=(1, 4)),
            ),
            operators=(
                Operator(code=MUL, inputs=(0, 1), outputs=(3,)),
                Operator(code=ADD, inputs=(3, 2), outputs=(4,)),
            ),
            inputs=(0,),
            outputs=(4,),
        )
    )


def quantised_model() -> bytes:
    """An int8 model, x (1, 4) -> y = x + 1, with integers outside: x and y are (value + 10) * 0.25."""
    inside = {"type": INT8, "scale": 0.25, "zero_point": -10}
    return tflite(
        Graph(
            tensors=(
                Tensor(name="x", shape=(1, 4), **inside),
                Tensor(name="b", shape=(1, 4), content=struct.pack("<4b", *(4 * [-6])), **inside),
                Tensor(name="y", shape=(1, 4), **inside),
            ),
            operators=(Operator(code=ADD, inputs=(0, 1), outputs=(2,)),),
            inputs=(0,),
            outputs=(2,),
        )
    )


def edgetpu_model() -> bytes:
    """What the Edge TPU compiler leaves: one custom operator that only its delegate has."""
    inside = {"type": INT8, "scale": 0.25, "zero_point": -10}
    return tflite(
        Graph(
            tensors=(
                Tensor(name="x", shape=(1, 4), **inside),
                Tensor(name="y", shape=(1, 4), **inside),
            ),
            operators=(
                Operator(code=CUSTOM, custom="edgetpu-custom-op", inputs=(0,), outputs=(1,)),
            ),
            inputs=(0,),
            outputs=(1,),
        )
    )


def _align(out: bytearray, size: int, before: int = 0) -> None:
    """Pad so that what comes `before` bytes later lies at a multiple of size."""
    out += bytes(-(len(out) + before) % size)


def _code(operator: Operator) -> Writer:
    fields: Fields = {0: i8(operator.code), 2: Scalar("<i", 1), 3: Scalar("<i", operator.code)}
    if operator.custom is not None:
        fields[1] = text(operator.custom)
    return table(fields)


def _buffer(tensor: Tensor) -> Writer:
    return table({0: raw(tensor.content)} if tensor.content else {})


def _subgraph(graph: Graph) -> Writer:
    return table(
        {
            0: tables([_tensor(tensor, n + 1) for n, tensor in enumerate(graph.tensors)]),
            1: numbers("<i", graph.inputs),
            2: numbers("<i", graph.outputs),
            3: tables([_operator(operator, n) for n, operator in enumerate(graph.operators)]),
        }
    )


def _tensor(tensor: Tensor, buffer: int) -> Writer:
    fields: Fields = {
        0: numbers("<i", tensor.shape),
        1: i8(tensor.type),
        2: u32(buffer),
        3: text(tensor.name),
    }
    if tensor.scale is not None:
        fields[4] = table({2: numbers("<f", [tensor.scale]), 3: numbers("<q", [tensor.zero_point])})
    return table(fields)


def _operator(operator: Operator, n: int) -> Writer:
    fields: Fields = {
        0: u32(n),
        1: numbers("<i", operator.inputs),
        2: numbers("<i", operator.outputs),
    }
    if operator.code in _OPTIONS:
        fields[3] = i8(_OPTIONS[operator.code])
        fields[4] = table({0: i8(0)})
    return table(fields)
