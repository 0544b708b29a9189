"""Capture files (`.efcap`): frames as a pipeline saw them, with what it answered and what answered.

    magic (8 bytes) | record | record | ...
    record = frame of `edgeform_wire.frames` (u32 length, JSON header, body) | 32 bytes of SHA-256

Each record's digest is over the digest before it, its header and its body, so that what is cut off, changed,
left out or put in shows at the first record that is not as it was written. Written and read in one pass
(`capture_reader`), one record in memory. docs/reference/captures.md has the fields.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Dict, Optional, Tuple, Union

from edgeform_wire import frames
from edgeform_wire.errors import WireError

SCHEMA = "edgeform.capture/1"
MAGIC = b"\x89efcap1\n"
DIGEST_BYTES = 32
REASONS = ("request", "rule", "drift", "gate_failure", "rollback")
MEDIA = ("picture", "audio", "series", "text")
FOLDER, ENDING = "captures", ".efcap"
FILE_NAME = re.compile(r"\d{8}T\d{6}Z-\d+-\d{4,}-(?:" + "|".join(REASONS) + r")\.efcap\Z")
"""What a capture is called on a device: time, process, number, reason."""


class CaptureDamaged(WireError):
    """The file is not as it was written; `damage` is one word for it, `record` and `at_byte` are where.

    Args:
        damage: foreign, truncated, changed, unfit (whole, but not of the agreed form) or trailing.
    """

    def __init__(self, damage: str, record: int, at_byte: int, why: str) -> None:
        super().__init__(f"{damage}: record {record} at byte {at_byte}: {why}")
        self.damage, self.record, self.at_byte = damage, record, at_byte


@dataclass(frozen=True)
class About:
    """The first record: whose frames these are, and why they were kept.

    Args:
        reason: one of REASONS; detail: what the rule, the drift or the person said.
        made_at: seconds since the epoch as the device believed. masks: what was blacked out of every
            frame before it was kept, as the spec says it; empty for nothing.
    """

    site: str
    device: str
    pipeline: str
    reason: str
    detail: str
    made_at: float
    runtime_version: str
    masks: Dict[str, Any]


@dataclass(frozen=True)
class Model:
    """What answered the frames after this record, until the next one of its kind.

    Args:
        model_digest, runtime_digest: of the artifacts; None where the runtime did not run from one.
        stages: media, preprocess, infer, postprocess and runtime of the pipeline file: no address, no name
            of a secret and no action is among them. preprocess_digest: over the canonical JSON of preprocess.
    """

    generation: int
    generation_digest: str
    model_ref: str
    model_digest: Optional[str]
    runtime_digest: Optional[str]
    engine: str
    engine_version: str
    effective: Dict[str, Any]
    preprocess_digest: str
    stages: Dict[str, Any]


@dataclass(frozen=True)
class Output:
    """A raw output tensor: row-major, little-endian."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Kept:
    """One frame: the input as it was captured (masked, if anything is), and the answer to it.

    Args:
        source: capture, or control for an input that the device tool sent (a golden).
        is_masked: the outputs answer the frame as it was before masking, so they cannot be had again.
        tensor_digest: of the tensor that the model was given, before masking.
        result: what postprocessing made of the outputs.
    """

    sequence: int
    name: str
    source: str
    captured_at: float
    is_masked: bool
    tensor_digest: str
    result: Dict[str, Any]
    infer_s: float
    content: bytes = field(repr=False)
    outputs: Tuple[Output, ...] = ()

    @property
    def size_bytes(self) -> int:
        return len(self.content) + sum(len(output.content) for output in self.outputs)


Record = Union[About, Model, Kept]


class Writer:
    """Writes the records of one capture, in order, to a stream; `end` makes it whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256(MAGIC).digest()
        self._kept = 0
        stream.write(MAGIC)

    def about(self, about: About) -> None:
        self._write({"kind": "capture", "schema": SCHEMA, **vars(about)})

    def model(self, model: Model) -> None:
        self._write({"kind": "model", **vars(model)})

    def kept(self, kept: Kept) -> None:
        header = {
            "kind": "frame",
            "number": self._kept,
            "sequence": kept.sequence,
            "name": kept.name,
            "source": kept.source,
            "captured_at": kept.captured_at,
            "is_masked": kept.is_masked,
            "tensor_digest": kept.tensor_digest,
            "result": kept.result,
            "infer_s": kept.infer_s,
            "input_bytes": len(kept.content),
            "outputs": [
                {"name": o.name, "dtype": o.dtype, "shape": list(o.shape)} for o in kept.outputs
            ],
        }
        self._write(header, (kept.content, *(o.content for o in kept.outputs)))
        self._kept += 1

    def end(self) -> None:
        self._write({"kind": "end", "frames": self._kept})

    def _write(self, header: Dict[str, Any], body: Tuple[bytes, ...] = ()) -> None:
        head = frames.head(header, sum(len(part) for part in body))
        hasher = hashlib.sha256(self._digest)
        for part in (head, *body):
            hasher.update(part)
            self._stream.write(part)
        self._digest = hasher.digest()
        self._stream.write(self._digest)
