"""Carrying a folder of small files with meaning, such as a trust repository, in a safe order.

Readers follow the file named last (`timestamp.json`), so it is written last: until then they see the
old publication whole. What is pulled lands in an empty folder and is believed only after it is verified.
"""

import re
from pathlib import Path, PurePosixPath

from edgeform.errors import OutsideFailed
from edgeform.store.remote import Remote, Transferred

LAST = ("timestamp.json",)
_FIXED = re.compile(r"(\d+|[0-9a-f]{64})\.")
"""A file with its version or digest before its name never changes."""


def push_files(remote: Remote, prefix: str, folder: Path) -> Transferred:
    """Send every file below the folder that the remote lacks or has with another length.

    Files whose name does not tell their content always go; those named in LAST go last.

    Raises:
        OutsideFailed: the remote failed; readers still see the old publication.
    """
    there = remote.sizes(prefix)
    sent = count = size = 0
    for file in sorted((f for f in folder.rglob("*") if f.is_file()), key=_order):
        count += 1
        name = f"{prefix.rstrip('/')}/{file.relative_to(folder).as_posix()}"
        if there.get(name) == file.stat().st_size and _FIXED.match(file.name):
            continue
        remote.put(name, file)
        sent += 1
        size += file.stat().st_size
    return Transferred(sent=sent, already=count - sent, bytes=size)


def pull_files(remote: Remote, prefix: str, folder: Path) -> Transferred:
    """Fetch every file below the prefix into a folder, which the caller verifies before use.

    Raises:
        OutsideFailed: the remote failed.
    """
    size = count = 0
    for name in sorted(remote.sizes(prefix)):
        inner = PurePosixPath(name.removeprefix(prefix.rstrip("/") + "/"))
        if inner.is_absolute() or ".." in inner.parts:
            raise OutsideFailed(f"The remote names a file {name!r}, which would leave the folder.")
        file = folder / inner
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            for chunk in remote.get(name, 0):
                size += stream.write(chunk)
        count += 1
    return Transferred(sent=count, already=0, bytes=size)


def _order(file: Path) -> tuple[bool, str]:
    return file.name in LAST, file.as_posix()
