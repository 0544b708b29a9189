"""The tool compiled once for the Python that is here, so that a question costs milliseconds.

Reading modules from a .pyz compiles them at every start: a third of a second for `state`. Beside the
tool's file stands the same code, compiled by this machine's Python and proven by its digest before it is
used. It is a convenience only: recovery and the transaction do without it, and all works where it is absent.
"""

import os
import sys

TYPE_CHECKING = False  # not typing's: this is read before anything else, and compiled each time
if TYPE_CHECKING:
    from typing import Any

UNCHECKED_HASH = 0b01
"""PEP 552: no source is compared; the digest of the whole stands for that."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_DIGEST_BYTES = 32


class _Later(type(sys)):  # type: ignore[misc]
    """Stands for a module until something of it is asked for.

    `dataclasses` imports `inspect` and needs it for classes without a docstring alone; with all that it
    imports in turn it is a tenth of a start.
    """

    def __getattr__(self, name: str) -> "Any":
        import importlib  # noqa: PLC0415

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def path_of(tool: str) -> str:
    """Where the compiled tool is for this Python."""
    return f"{tool}.{sys.implementation.cache_tag}"


def use(tool: str) -> bool:
    """Make imports come from the compiled tool, when it is there and whole; whether it is."""
    import hashlib  # noqa: PLC0415 - only where there is something to prove

    import edgeform_device  # noqa: PLC0415

    path = path_of(tool)
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError:
        return False
    if hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:]:
        return False
    sys.modules.setdefault("inspect", _Later("inspect"))
    sys.path.insert(0, path)
    edgeform_device.__path__.insert(0, path + "/edgeform_device")
    return True


def write(tool: str) -> str:
    """The path of the compiled tool, made now; nothing of it needs to survive a power cut."""
    import hashlib  # noqa: PLC0415

    content = compiled(tool)
    path = path_of(tool)
    tmp = path + ".tmp"
    with open(tmp, "wb") as stream:
        stream.write(content + hashlib.sha256(content).digest())
    os.rename(tmp, path)
    return path


def compiled(tool: str) -> bytes:
    """A zip of the tool's modules as bytecode; its last 32 bytes, a comment, are left for a digest."""
    import __future__  # noqa: PLC0415 - none of this is needed to use it

    import importlib.util  # noqa: PLC0415
    import io  # noqa: PLC0415
    import marshal  # noqa: PLC0415
    import struct  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    out = io.BytesIO()
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", UNCHECKED_HASH) + b"edgeform"
    with zipfile.ZipFile(tool) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for name in source.namelist():
            if name == "__main__.py" or not name.endswith(".py"):
                continue
            # Annotations stay texts: nobody reads them here, and working them out costs a tenth of a start.
            flags = __future__.annotations.compiler_flag
            code = compile(source.read(name), f"{tool}/{name}", "exec", flags, dont_inherit=True)
            made.writestr(zipfile.ZipInfo(name + "c", _EPOCH), head + marshal.dumps(code))
        made.comment = b" " * _DIGEST_BYTES
    return out.getvalue()[:-_DIGEST_BYTES]
