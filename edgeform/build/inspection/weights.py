"""Files of named tensors: safetensors and GGUF. Headers only, every length checked against the file.

Sources: huggingface/safetensors README ("Format"); ggml-org/ggml docs/gguf.md.
"""

import json
import math
import struct
from typing import BinaryIO

from edgeform.build.inspection.found import Hazard, Inspected, damaged

GGUF_MAGIC = b"GGUF"
MAX_HEADER_BYTES = 100 * 2**20
MAX_ENTRIES = 1_000_000
MAX_TEXT_BYTES = 16 * 2**20
MAX_DEPTH = 2
_SAFE_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2,
    "U16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
_GGML = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1",
    10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k", 24: "i8", 25: "i16",
    26: "i32", 27: "i64", 28: "f64", 30: "bf16",
}  # fmt: skip
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _LIST = 8, 9
TEMPLATE = "tokenizer.chat_template"


class _Damaged(Exception):
    """A length or a type that cannot be."""


def looks_like_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9:
        return False
    (length,) = struct.unpack_from("<Q", head)
    return head[8:9] == b"{" and 2 <= length <= size - 8


def safetensors(stream: BinaryIO, size: int) -> Inspected:
    """A safetensors file's header."""
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > MAX_HEADER_BYTES:
        return damaged("safetensors", f"a header of {length} bytes")
    try:
        header = json.loads(stream.read(length))
        notes = header.pop("__metadata__", {})
        count, kinds, end = 0, set(), 0
        for name, tensor in header.items():
            kind, shape, (begin, stop) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
            elements = math.prod(shape)
            is_right = kind not in _SAFE_BYTES or stop - begin == elements * _SAFE_BYTES[kind]
            if not 0 <= begin <= stop <= size - 8 - length or not is_right or elements < 0:
                raise _Damaged(
                    f"tensor {name!r:.60} lies outside the file, or is not as long as its shape"
                )
            count, end = count + elements, max(end, stop)
            kinds.add(kind)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, _Damaged) as exc:
        return damaged(
            "safetensors",
            f"{exc}" if isinstance(exc, _Damaged) else "its header is no table of tensors",
        )
    extra = size - 8 - length - end
    hazards = (
        (Hazard(what="bytes behind the last tensor", why=f"{extra} of them"),) if extra else ()
    )
    return Inspected(
        format="safetensors",
        precision=", ".join(sorted(str(k).lower() for k in kinds)) or None,
        parameters=count,
        notes=tuple(sorted((str(k), f"{v}"[:80]) for k, v in notes.items())),
        hazards=hazards,
    )


def gguf(stream: BinaryIO, size: int) -> Inspected:
    """A GGUF file's header: keys, tensors, and the template that would be run by whoever chats."""
    reader = _Reader(stream, size)
    try:
        reader.take(4)
        version = reader.number("<I")
        if version not in (2, 3):
            raise _Damaged(f"format version {version}")
        tensors, keys = reader.number("<Q"), reader.number("<Q")
        if tensors > MAX_ENTRIES or keys > MAX_ENTRIES:
            raise _Damaged(f"{tensors} tensors and {keys} keys")
        values = {}
        for _ in range(keys):
            name = reader.text()
            values[name] = reader.value(reader.number("<I"), 0)
        count, kinds = 0, set()
        for _ in range(tensors):
            reader.text()
            extents = [reader.number("<Q") for _ in range(reader.bounded("<I", 8, "dimensions"))]
            kind, offset = reader.number("<I"), reader.number("<Q")
            if offset > size:
                raise _Damaged("a tensor outside the file")
            count += math.prod(extents)
            kinds.add(_GGML.get(kind, f"type {kind}"))
    except (_Damaged, struct.error, UnicodeDecodeError) as exc:
        return damaged("gguf", str(exc))
    shown = ("general.architecture", "general.name", "general.license", "tokenizer.ggml.model")
    return Inspected(
        format="gguf",
        precision=", ".join(sorted(kinds)) or None,
        parameters=count,
        notes=tuple((key, str(values[key])[:80]) for key in shown if key in values),
        hazards=tuple(_templates(values)),
    )


def _templates(values: dict[str, object]) -> list[Hazard]:
    found = [key for key in values if key.startswith(TEMPLATE)]
    why = (
        "a Jinja template inside the model; a loader that renders it without a sandbox runs it"
        " (CVE-2024-34359)"
    )
    return [Hazard(what=key, why=why, is_refused=False) for key in sorted(found)]


class _Reader:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size

    def take(self, count: int) -> bytes:
        if count > self._size - self._stream.tell():
            raise _Damaged("it is cut short, or a length in it is wrong")
        return self._stream.read(count)

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def bounded(self, form: str, limit: int, what: str) -> int:
        found = self.number(form)
        if found > limit:
            raise _Damaged(f"{found} {what}")
        return found

    def text(self) -> str:
        return self.take(self.bounded("<Q", MAX_TEXT_BYTES, "bytes of text")).decode("utf-8")

    def value(self, kind: int, depth: int) -> object:
        if kind == _TEXT:
            return self.text()
        if kind in _SCALARS:
            return struct.unpack(_SCALARS[kind], self.take(struct.calcsize(_SCALARS[kind])))[0]
        if kind != _LIST or depth >= MAX_DEPTH:
            raise _Damaged(f"a value of type {kind}")
        inner = self.number("<I")
        count = self.bounded("<Q", 10 * MAX_ENTRIES, "items in a list")
        if inner in _SCALARS:
            self.take(count * struct.calcsize(_SCALARS[inner]))
        else:
            for _ in range(count):
                self.value(inner, depth + 1)
        return f"{count} items"
