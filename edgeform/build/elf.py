"""Which shared libraries an ELF file asks for, read with the standard library, for any architecture."""

import struct
from pathlib import Path

MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5


def needed(path: Path) -> tuple[str, ...]:
    """The names under DT_NEEDED of a 64-bit little-endian ELF file; none for any other file.

    Raises:
        ValueError: it says that it is ELF and is damaged.
    """
    content = path.read_bytes()
    if content[:4] != MAGIC or content[4:6] != b"\x02\x01":
        return ()
    try:
        return _needed(content)
    except (struct.error, IndexError) as exc:
        raise ValueError(f"{path.name}: damaged ELF file") from exc


def _needed(content: bytes) -> tuple[str, ...]:
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for n in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", content, table + n * size
        )
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
    if dynamic is None:
        return ()
    strings, names = 0, []
    for at in range(dynamic[0], dynamic[0] + dynamic[1], 16):
        tag, value = struct.unpack_from("<qQ", content, at)
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = value
    base = next(o + strings - a for a, o, length in loads if a <= strings < a + length)
    return tuple(content[base + n : content.index(b"\0", base + n)].decode() for n in names)
