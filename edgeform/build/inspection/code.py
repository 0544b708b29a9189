"""Files that run code when they are opened, whatever their name says: pickles, archives of them, libraries.

Recognised by what they contain; pickletools names the operations of a pickle and executes none.
"""

import pickletools
import zipfile
import zlib
from typing import BinaryIO

from edgeform.build.inspection.found import Hazard, Inspected

_LOOKED_AT = 2**20
_MAX_OPERATIONS = 20_000
_RUNS = ("GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD")
_WHY = "opening a pickle calls whatever functions it names (CVE-2025-32434 among others)"
_EXPORT = "Export the model to ONNX and take only that."


def runs_code(head: bytes, stream: BinaryIO) -> Inspected | None:
    """What the file is, if opening it can run code; None if it is nothing of the kind."""
    if head.startswith(b"\x7fELF"):
        return _refused(
            "elf", "a compiled library", "it runs when it is loaded, outside every sandbox"
        )
    if head.startswith((b"MZ", b"\xcf\xfa\xed\xfe")):
        return _refused("executable", "a program", "it is no model")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        why = "Keras files may hold Lambda layers, which are code (CVE-2025-1550)"
        return _refused("hdf5", "HDF5, as Keras writes it", why)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(stream)
    if head.startswith(b"\x93NUMPY"):
        is_object = b"'descr': '|O'" in head or b"|O" in head[:256]
        return _refused("numpy", "an array of Python objects", _WHY) if is_object else None
    return _pickled(head, stream)


def _refused(format_name: str, what: str, why: str) -> Inspected:
    return Inspected(format=format_name, hazards=(Hazard(what=what, why=f"{why}. {_EXPORT}"),))


def _zipped(stream: BinaryIO) -> Inspected:
    try:
        with zipfile.ZipFile(stream) as archive:
            names = [entry.filename for entry in archive.infolist()[:10_000]]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as exc:
        return _refused("zip", f"a damaged archive ({exc})", "what is in it cannot be seen")
    if any(name.endswith((".pkl", "/data.pkl")) for name in names):
        return _refused("pytorch", "a PyTorch archive with a pickle", _WHY)
    if "config.json" in names and any(name.endswith(".h5") for name in names):
        why = "its configuration may name functions that are called (CVE-2025-1550)"
        return _refused("keras", "a Keras archive", why)
    if any(name.endswith(".npy") for name in names):
        return _refused("npz", "an archive of arrays", "arrays of objects in it are pickles")
    return _refused("zip", "an archive", "files are taken one by one, and nothing is unpacked")


def _pickled(head: bytes, stream: BinaryIO) -> Inspected | None:
    stream.seek(0)
    content = stream.read(_LOOKED_AT)
    packed = ""
    if head.startswith((b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda")):
        try:
            content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, _LOOKED_AT)
        except zlib.error:
            return None
        packed = " in compressed form"
    names = _operations(content)
    if not names:
        return None
    called = sorted(names & set(_RUNS))
    more = f" ({', '.join(called[:4]).lower()})" if called else ""
    return _refused("pickle", f"a pickle{packed}{more}", _WHY)


def _operations(content: bytes) -> set[str]:
    """The operations of a pickle; none if the bytes are no beginning of one."""
    found: set[str] = set()
    is_marked = content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    count = 0
    try:
        for operation, _, _ in pickletools.genops(content):
            found.add(operation.name)
            count += 1
            if operation.name == "STOP":
                # Short texts can look like a pickle of protocol 0; one that calls nothing does nothing.
                return found if is_marked or found & set(_RUNS) else set()
            if count > _MAX_OPERATIONS:
                break
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError, MemoryError):
        return found if is_marked and count > 1 else set()
    return found if is_marked else set()
