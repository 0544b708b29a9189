"""What a Hailo executable (.hef) says about itself: for which architecture it was compiled.

Read with the standard library. The layout is that of hailort's `hef_internal.hpp` (header, big-endian) and
`hef.proto` (message ProtoHEFHef, field 1: ProtoHEFHeader with `hw_arch`), as published in hailo-ai/hailort.
"""

import os
import stat
import struct
from dataclasses import dataclass
from typing import Iterator, Tuple, Union

from edgeform_runtime.errors import ModelRefused

MAGIC = 0x01484546
_HEADER = struct.Struct(">III")
_TAILS = {0: 20, 1: 16, 2: 32, 3: 44}
"""Bytes behind the common header, by version of the format."""
ARCHITECTURES = {0: "hailo-8", 1: "hailo-8p", 2: "hailo-8r", 3: "hailo-8l", 5: "hailo-10h"}
RUNS_ON = {
    "hailo-8": ("hailo-8",),
    "hailo-8l": ("hailo-8l", "hailo-8"),
    "hailo-10h": ("hailo-10h",),
}
"""By what a file was compiled for: the accelerators that run it (a Hailo-8 runs files for the 8L)."""


@dataclass(frozen=True)
class HefFile:
    architecture: str
    version: int


def inspect(path: str) -> HefFile:
    """What the file says.

    Raises:
        ModelRefused: not a HEF, cut short, or for a chip that nobody here knows.
    """
    name = os.path.basename(path)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ModelRefused(f"{name} is not an ordinary file")
        with open(path, "rb") as stream:
            return read(stream.read(), name)
    except OSError as exc:
        raise ModelRefused(f"{name} cannot be read: {exc.strerror}") from exc


def read(content: bytes, name: str) -> HefFile:
    """The same for a file's bytes.

    Raises:
        ModelRefused: see `inspect`.
    """
    if len(content) < _HEADER.size or _HEADER.unpack_from(content)[0] != MAGIC:
        raise ModelRefused(f"{name} is not a HEF")
    _, version, size = _HEADER.unpack_from(content)
    if version not in _TAILS:
        raise ModelRefused(f"{name} has HEF format {version}; known are 0 to {max(_TAILS)}")
    start = _HEADER.size + _TAILS[version]
    if size == 0 or start + size > len(content):
        raise ModelRefused(f"{name} is cut short: {len(content)} bytes of at least {start + size}")
    try:
        number = _architecture(content[start : start + size])
    except (_Damaged, IndexError) as exc:
        raise ModelRefused(f"{name} is damaged: {exc}") from exc
    if number not in ARCHITECTURES:
        raise ModelRefused(
            f"{name} was compiled for architecture {number}, which is not known here"
        )
    return HefFile(architecture=ARCHITECTURES[number], version=version)


class _Damaged(Exception):
    """A length leads out of the message."""


def _architecture(message: bytes) -> int:
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            found = [v for n, v in _fields(value) if n == 1 and isinstance(v, int)]
            return found[-1] if found else 0  # protobuf leaves out the value 0
    raise _Damaged("it has no header")


def _fields(message: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise _Damaged(f"a field of {size} bytes does not fit")
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise _Damaged(f"wire type {kind}")


def _varint(message: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _Damaged("a number without an end")
