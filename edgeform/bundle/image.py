"""A bundle in a disk image with a FAT file system, and any bundle as a folder to work in.

mtools reads and writes the image without mounting it, so nobody needs root for that.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeform.errors import OutsideFailed, UsageError
from edgeform_wire import bundle

SUFFIXES = (".img", ".image", ".vfat", ".fat")
ROOM = 1.05
"""Clusters of small files are not full; a device's reports need room too."""
ROOM_BYTES = 32 * 1024 * 1024
LABEL = "EDGEFORM"


def is_image(place: Path) -> bool:
    return place.is_file() or (not place.exists() and place.suffix.lower() in SUFFIXES)


@contextmanager
def opened(place: Path, *, scratch: Path) -> Iterator[Path]:
    """A folder with what is in the image; the folder itself, if it is one.

    Raises:
        UsageError: there is neither. OutsideFailed: mtools is missing, or it cannot read the image.
    """
    if place.is_dir():
        yield place
        return
    if not place.is_file():
        raise UsageError(f"{place} is neither a folder nor an image.")
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=scratch) as folder:
        _run(("mcopy", "-i", str(place), "-s", "-Q", "-n", f"::/{bundle.FOLDER}", folder))
        yield Path(folder)


def write_image(folder: Path, image: Path) -> int:
    """Make an image that holds what is in the folder; its size. It appears whole or not at all.

    Raises:
        OutsideFailed: dosfstools or mtools are missing, or there is no room.
    """
    used = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    size_kib = int(used * ROOM + ROOM_BYTES) // 1024 + 1
    partial = image.with_name(image.name + ".tmp")
    partial.unlink(missing_ok=True)
    try:
        _run(("mkfs.vfat", "-F", "32", "-n", LABEL, "-C", str(partial), str(size_kib)))
        _run(("mcopy", "-i", str(partial), "-s", "-Q", str(folder / bundle.FOLDER), "::/"))
        partial.replace(image)
    finally:
        partial.unlink(missing_ok=True)
    return image.stat().st_size


def _run(command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        raise OutsideFailed(
            f"{command[0]} is not on this machine, and images are made with it.",
            hint="Install it, or write to the folder of a mounted stick instead:\n"
            "    apt-get install dosfstools mtools",
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-400:]
        raise OutsideFailed(f"{command[0]} failed: {said}")
