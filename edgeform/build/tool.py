"""The device tool as one file: `edgeform_device` and `edgeform_wire` in a .pyz, the same bytes every time.

Stored, not compressed: the bytes then depend on the sources alone and on no zlib, and a device reads
modules faster than it inflates them.
"""

import io
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from edgeform_wire import digest as digests

FILE_NAME = "edgeform-device.pyz"
PACKAGES = ("edgeform_device", "edgeform_wire")
ENTRY = "edgeform_device/__main__.py"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say


def tool_bytes() -> bytes:
    """The .pyz of the device tool that belongs to this installation."""
    files = dict(
        entry for package in PACKAGES for entry in _sources(resources.files(package), package)
    )
    files["__main__.py"] = files[ENTRY]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # as on Unix, wherever it is built
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return content.getvalue()


def build_tool(folder: Path) -> tuple[Path, str]:
    """The tool's file in a folder, and its digest; written only when it is not there yet."""
    content = tool_bytes()
    path = folder / FILE_NAME
    if not path.is_file() or path.read_bytes() != content:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        partial.write_bytes(content)
        partial.replace(path)
    return path, digests.of_bytes(content)


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{name}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry.read_bytes()
