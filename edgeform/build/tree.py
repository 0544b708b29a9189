"""A directory as the files of an artifact: sorted, hashed, their bytes handed to a store."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgeform.build.failure import BuildFailed, ModelUnusable
from edgeform_wire import artifact, digest
from edgeform_wire.errors import WireError


class BlobSink(Protocol):
    """Where an artifact's bytes go, by digest; `put` is atomic and gives the digest of what it took."""

    def put(self, path: Path, /) -> str: ...


def files_of(
    root: Path, sink: BlobSink | None = None, mode: Callable[[Path], str] = lambda _: "0644"
) -> tuple[artifact.ArtifactFile, ...]:
    """The files below a directory as a manifest lists them, by path; bytes go into the sink, if any.

    Raises:
        ModelUnusable: a link, a device, or a name outside the grammar.
        BuildFailed: the disk is full, or the sink took other bytes than were hashed.
    """
    found = []
    for path in sorted(_walk(root), key=lambda p: p.relative_to(root).as_posix()):
        known = digest.of_file(str(path))
        if sink is not None:
            _put(sink, path, known)
        found.append(
            artifact.ArtifactFile(
                path=path.relative_to(root).as_posix(),
                size_bytes=path.stat().st_size,
                mode=mode(path),
                digest=known,
            )
        )
    try:
        artifact.check_paths(tuple(f.path for f in found))
    except WireError as exc:
        raise ModelUnusable(str(exc), address=str(root), hint="Rename the file.") from exc
    return tuple(found)


def _walk(root: Path) -> list[Path]:
    found = []
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                continue
            if not stat.S_ISREG(kind):
                raise ModelUnusable(
                    f"{path.relative_to(root)} is a link or no plain file; artifacts hold files only.",
                    address=str(root),
                    hint="Copy the file itself to that place.",
                )
            found.append(path)
    return found


def _put(sink: BlobSink, path: Path, known: str) -> None:
    try:
        stored = sink.put(path)
    except OSError as exc:
        raise no_space(exc, path) from exc
    if stored != known:
        raise BuildFailed(f"{path.name} changed while it was stored.", hint="Build again.")


def no_space(error: OSError, path: Path) -> BuildFailed:
    """The error as a person needs it; ENOSPC and EDQUOT say what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BuildFailed(
            f"The disk is full: {path.name} could not be written.",
            address=str(error.filename or path.parent),
            hint="Free some space, or choose another directory for work, and build again.",
        )
    return BuildFailed(f"{path.name}: {error.strerror}", address=str(error.filename or path.parent))
