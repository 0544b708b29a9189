"""Reading capture files: one record at a time, each proven, every damage named. Nothing of it is ever run."""

import hashlib
import io
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Tuple

from edgeform_wire import frames
from edgeform_wire.capture import (
    DIGEST_BYTES,
    MAGIC,
    MEDIA,
    REASONS,
    SCHEMA,
    About,
    CaptureDamaged,
    Kept,
    Model,
    Output,
    Record,
)
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields
from edgeform_wire.golden import DTYPE_BYTES

MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_OUTPUTS = 256


def read(stream: BinaryIO) -> Iterator[Record]:
    """The records of a capture, each once its digest is proven; the last one read proves that none lacks.

    Raises:
        CaptureDamaged: from the record on that is not as it was written; names the damage.
    """
    return _Reader(stream).records()


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = 0
        self._at = 0
        self._start = 0
        self._digest = hashlib.sha256(MAGIC).digest()
        self._kept = 0
        self._has_model = False

    def records(self) -> Iterator[Record]:
        if self._read(len(MAGIC), is_start=True) != MAGIC:
            raise CaptureDamaged("foreign", 0, 0, "this is no capture file of version 1")
        while True:
            self._start = self._at
            header, body = self._record()
            try:
                record = self._understood(Fields(header, "record"), body)
            except WireError as exc:
                raise self._damaged("unfit", str(exc)) from exc
            self._number += 1
            if record is None:
                break
            yield record
        if self._stream.read(1):
            raise CaptureDamaged("trailing", self._number, self._at, "bytes follow the last record")

    def _understood(self, fields: Fields, body: bytes) -> Optional[Record]:
        """The record; None for the last one."""
        kind = fields.choice("kind", ("capture", "model", "frame", "end"))
        is_first = self._number == 0
        if (kind == "capture") != is_first or (kind == "frame" and not self._has_model):
            raise WireError(f"a record of kind {kind} does not belong here")
        if kind == "capture":
            return _about(fields, body)
        if kind == "model":
            self._has_model = True
            return _model(fields, body)
        if kind == "end":
            if fields.integer("frames") != self._kept:
                raise WireError("the number of frames is another one")
            _done(fields, body)
            return None
        if fields.integer("number") != self._kept:
            raise WireError("the frame has another number")
        self._kept += 1
        return _kept(fields, body)

    def _record(self) -> Tuple[Dict[str, Any], bytes]:
        length = self._read(4)
        size = int.from_bytes(length, "little")
        if size > frames.MAX_HEADER_BYTES:
            raise self._damaged("changed", f"its header would be {size} bytes long")
        head = self._read(size)
        try:
            found = frames.read_head(io.BytesIO(length + head))
            if found is None:
                raise WireError("no header")
        except WireError as exc:
            raise self._damaged("changed", str(exc)) from exc
        header, body_bytes = found
        if body_bytes > MAX_BODY_BYTES:
            raise self._damaged("changed", f"its body would be {body_bytes} bytes long")
        body = self._read(body_bytes)
        expected = self._read(DIGEST_BYTES)
        hasher = hashlib.sha256(self._digest)
        for part in (length, head, body):
            hasher.update(part)
        self._digest = hasher.digest()
        if self._digest != expected:
            raise self._damaged("changed", "its bytes do not match its digest")
        return header, body

    def _read(self, count: int, *, is_start: bool = False) -> bytes:
        parts, left = [], count
        while left:
            part = self._stream.read(min(left, 1024 * 1024))
            if not part:
                if is_start:
                    raise CaptureDamaged("foreign", 0, 0, "this is no capture file of version 1")
                raise self._damaged("truncated", f"the file ends {left} bytes too early")
            parts.append(part)
            left -= len(part)
        self._at += count
        return b"".join(parts)

    def _damaged(self, damage: str, why: str) -> CaptureDamaged:
        return CaptureDamaged(damage, self._number, self._start, why)


def _about(fields: Fields, body: bytes) -> About:
    if fields.text("schema") != SCHEMA:
        raise WireError(f"this side reads {SCHEMA}")
    found = About(
        site=fields.text("site"),
        device=fields.text("device"),
        pipeline=fields.text("pipeline"),
        reason=fields.choice("reason", REASONS),
        detail=fields.text("detail"),
        made_at=fields.number("made_at"),
        runtime_version=fields.text("runtime_version"),
        masks=fields.object("masks"),
    )
    _done(fields, body)
    return found


def _model(fields: Fields, body: bytes) -> Model:
    found = Model(
        generation=fields.integer("generation"),
        generation_digest=fields.digest("generation_digest"),
        model_ref=fields.text("model_ref"),
        model_digest=fields.optional_digest("model_digest"),
        runtime_digest=fields.optional_digest("runtime_digest"),
        engine=fields.text("engine"),
        engine_version=fields.text("engine_version"),
        effective=fields.object("effective"),
        preprocess_digest=fields.digest("preprocess_digest"),
        stages=fields.object("stages"),
    )
    stages = Fields(found.stages, "stages")
    stages.choice("media", MEDIA)
    stages.each("preprocess", _object)
    for name in ("infer", "postprocess", "runtime"):
        stages.object(name)
    stages.done()
    _done(fields, body)
    return found


def _kept(fields: Fields, body: bytes) -> Kept:
    input_bytes = fields.integer("input_bytes")
    if input_bytes > len(body):
        raise WireError(f"an input of {input_bytes} bytes in a body of {len(body)}")
    outputs: List[Output] = []
    at = input_bytes
    for name, dtype, shape in fields.each("outputs", _described):
        size = DTYPE_BYTES[dtype]
        for extent in shape:
            size *= extent
        if at + size > len(body) or len(outputs) >= MAX_OUTPUTS:
            raise WireError(f"output {name!r:.80} does not fit into the body")
        outputs.append(Output(name, dtype, shape, body[at : at + size]))
        at += size
    if at != len(body):
        raise WireError(f"a body of {len(body)} bytes, its parts take {at}")
    found = Kept(
        sequence=fields.integer("sequence"),
        name=fields.text("name"),
        source=fields.choice("source", ("capture", "control")),
        captured_at=fields.number("captured_at"),
        is_masked=fields.boolean("is_masked"),
        tensor_digest=fields.digest("tensor_digest"),
        result=fields.object("result"),
        infer_s=fields.number("infer_s"),
        content=body[:input_bytes],
        outputs=tuple(outputs),
    )
    fields.done()
    return found


def _described(value: Any, what: str) -> Tuple[str, str, Tuple[int, ...]]:
    fields = Fields(value, what)
    found = (
        fields.text("name"),
        fields.choice("dtype", DTYPE_BYTES),
        fields.each("shape", _extent),
    )
    fields.done()
    return found


def _extent(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise WireError(f"{what}: {value!r:.40} is not an extent")
    return value


def _object(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise WireError(f"{what} is not an object")
    return value


def _done(fields: Fields, body: bytes) -> None:
    fields.done()
    if body:
        raise WireError(f"a body of {len(body)} bytes where none belongs")
