"""Frames: a JSON header and raw bytes behind it, on the control socket and in `ingest`.

    u32 little-endian length of the header | header (JSON) | body of header["body_bytes"] bytes

One form for both, so that tensors and blobs are never base64 inside JSON.
"""

import struct
from typing import Any, BinaryIO, Dict, Iterable, Iterator, Optional, Tuple

from edgeform_wire import canonical
from edgeform_wire.errors import WireError

MAX_HEADER_BYTES = 1024 * 1024
_LENGTH = struct.Struct("<I")


def write(
    stream: BinaryIO, header: Dict[str, Any], body: Iterable[bytes] = (), body_bytes: int = 0
) -> None:
    """Write one frame; `body` must yield exactly `body_bytes` bytes.

    Raises:
        WireError: the body is not as long as announced (the stream is then unusable).
    """
    stream.write(head(header, body_bytes))
    left = body_bytes
    for part in body:
        left -= len(part)
        stream.write(part)
    if left:
        raise WireError(f"frame body is {left} bytes off")
    stream.flush()


def head(header: Dict[str, Any], body_bytes: int = 0) -> bytes:
    """The bytes before the body."""
    encoded = canonical.encode(dict(header, body_bytes=body_bytes))
    if len(encoded) > MAX_HEADER_BYTES:
        raise WireError(f"frame header of {len(encoded)} bytes")
    return _LENGTH.pack(len(encoded)) + encoded


def read_head(stream: BinaryIO) -> Optional[Tuple[Dict[str, Any], int]]:
    """The next header and the length of the body that follows; None at a clean end.

    Raises:
        WireError: the stream ends inside a frame, or the header is not the agreed form.
    """
    first = _read(stream, _LENGTH.size, at_end_ok=True)
    if first is None:
        return None
    (length,) = _LENGTH.unpack(first)
    if length > MAX_HEADER_BYTES:
        raise WireError(f"frame header of {length} bytes")
    encoded = _read(stream, length)
    header = canonical.decode(encoded or b"", "frame header")
    if not isinstance(header, dict):
        raise WireError("frame header is not an object")
    body_bytes = header.pop("body_bytes", None)
    if type(body_bytes) is not int or body_bytes < 0:
        raise WireError("frame header without a usable body_bytes")
    return header, body_bytes


def read_body(stream: BinaryIO, body_bytes: int, chunk_bytes: int = 1024 * 1024) -> Iterator[bytes]:
    """The body in pieces.

    Raises:
        WireError: the stream ends inside the body.
    """
    left = body_bytes
    while left:
        part = stream.read(min(left, chunk_bytes))
        if not part:
            raise WireError(f"stream ended {left} bytes before the end of a frame")
        left -= len(part)
        yield part


def read(stream: BinaryIO, limit_bytes: int) -> Optional[Tuple[Dict[str, Any], bytes]]:
    """One whole frame in memory; None at a clean end.

    Raises:
        WireError: the body is longer than the limit, or the stream ends inside the frame.
    """
    found = read_head(stream)
    if found is None:
        return None
    header, body_bytes = found
    if body_bytes > limit_bytes:
        raise WireError(f"frame body of {body_bytes} bytes, more than {limit_bytes}")
    return header, b"".join(read_body(stream, body_bytes))


def _read(stream: BinaryIO, count: int, *, at_end_ok: bool = False) -> Optional[bytes]:
    parts = []
    left = count
    while left:
        part = stream.read(left)
        if not part:
            if at_end_ok and left == count:
                return None
            raise WireError("stream ended inside a frame")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
