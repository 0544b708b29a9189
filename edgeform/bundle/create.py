"""Writing a bundle: signed metadata, blobs, the tool; every file hashed while it is written.

An old table of contents goes first, and the new one comes last: a folder without it is unfinished. Running it
again on the same folder goes on, and replaces what was there; what devices left in `return/` stays.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgeform.errors import Corrupt, OutsideFailed
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import CHUNK_BYTES
from edgeform.trust.sbom import sbom
from edgeform_wire import bundle
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact
from edgeform_wire.bundle import Addressee, Contents, Listed
from edgeform_wire.deployment import Deployment

README = """This folder was made by `edgeform bundle create`. It brings the devices of one site up to date.

On a device:             edgeform-device bundle MOUNTPOINT
From a laptop:           edgeform bundle apply MOUNTPOINT --site SITE
Is it whole and signed:  edgeform bundle verify MOUNTPOINT
At home again:           edgeform bundle ingest MOUNTPOINT --site SITE

Devices write what they did into the folder `return`; `sbom` says what is in each artifact (CycloneDX).
Secrets are sealed to the key of the device that they are for. Nothing is believed that is not signed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What shall be on a stick.

    Args:
        metadata: file names and bytes; all that devices need to verify, every root included.
        root_digest: of the first root, which people compare on paper.
        tool: the device tool's file. sealed: signed documents with secrets, each for one device.
    """

    site: str
    created_at: str
    valid_until: str
    timestamp_version: int
    root_digest: str
    deployments: tuple[Deployment, ...]
    metadata: tuple[tuple[str, bytes], ...]
    artifacts: Artifacts
    tool: Path
    sealed: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    contents: Contents
    written_bytes: int
    kept_bytes: int


def write(load: Load, place: Path, *, part_bytes: int = bundle.PART_BYTES) -> Written:
    """Make `place`/edgeform a bundle with this load.

    Raises:
        Corrupt: the store lacks something, or it is damaged there.
        OutsideFailed: the stick is full, read-only or gone; running it again goes on.
    """
    try:
        return _Writing(place / bundle.FOLDER, part_bytes).write(load)
    except OSError as exc:
        raise OutsideFailed(
            f"The bundle could not be written: {exc.strerror}.",
            address=str(exc.filename or place),
            hint="Repeat the command when there is room; what is there already is not copied again.",
        ) from exc


class _Writing:
    def __init__(self, folder: Path, part_bytes: int) -> None:
        self._folder = folder
        self._part_bytes = part_bytes
        self._listed: dict[str, Listed] = {}
        self._written = 0
        self._kept = 0

    def write(self, load: Load) -> Written:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / bundle.CONTENTS).unlink(missing_ok=True)
        documents = {d.device: d.encoded() for d in load.deployments}
        closures = {d.device: _closure(d, load.artifacts) for d in load.deployments}
        for digest in sorted(frozenset[str]().union(*closures.values())):
            self._blob(digest, load.artifacts.objects.path(digest))
        for content in (*documents.values(), *load.sealed):
            self._file(bundle.blob_name(digests.of_bytes(content)), content)
        for name, content in load.metadata:
            self._file(f"{bundle.METADATA}/{name}", content)
        tool = load.tool.read_bytes()
        self._file(bundle.TOOL, tool)
        for artifact in _artifacts(load):
            self._file(bundle.sbom_name(artifact), sbom(artifact))
        self._file("README.txt", README.encode())
        self._remove_others()
        objects = load.artifacts.objects
        contents = Contents(
            site=load.site,
            created_at=load.created_at,
            valid_until=load.valid_until,
            timestamp_version=load.timestamp_version,
            root_digest=load.root_digest,
            tool_digest=digests.of_bytes(tool),
            devices=tuple(
                Addressee(
                    device=d.device,
                    deployment=d.number,
                    digest=d.generation.digest,
                    size_bytes=sum(objects.size_bytes(b) for b in closures[d.device]),
                )
                for d in sorted(load.deployments, key=lambda d: d.device)
            ),
            files=tuple(self._listed[path] for path in sorted(self._listed)),
        )
        _check_names(self._listed)
        self._replace(self._folder / bundle.CONTENTS, iter((contents.encoded(),)))
        _sync_folders(self._folder)
        return Written(contents=contents, written_bytes=self._written, kept_bytes=self._kept)

    def _blob(self, digest: str, source: Path) -> None:
        """A blob, whole or in parts; proven while it is copied."""
        size = source.stat().st_size if source.is_file() else -1
        if size < 0:
            raise _lacking(digest)
        name = bundle.blob_name(digest)
        if size <= self._part_bytes:
            names = [(name, size)]
        else:
            starts = range(0, size, self._part_bytes)
            names = [
                (bundle.part_name(name, n), min(self._part_bytes, size - at))
                for n, at in enumerate(starts)
            ]
        whole = hashlib.sha256()
        with source.open("rb") as stream:
            for part, length in names:
                self._part(part, _at_most(stream, length, whole))
        if digests.PREFIX + whole.hexdigest() != digest:
            raise Corrupt(
                f"Object {digest} in the store is damaged.",
                address=str(source),
                hint="Fetch it again:\n    edgeform store pull DIRECTORY",
            )

    def _part(self, name: str, pieces: Iterable[bytes]) -> None:
        """Written, unless the very same bytes are there: both are read, and one pass tells."""
        target = self._folder / name
        self._replace(target, pieces, keep_equal=True, name=name)

    def _file(self, name: str, content: bytes) -> None:
        self._replace(self._folder / name, iter((content,)), keep_equal=True, name=name)

    def _replace(
        self, target: Path, pieces: Iterable[bytes], *, keep_equal: bool = False, name: str = ""
    ) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".tmp")
        hasher = hashlib.sha256()
        size = 0
        present = target.open("rb") if keep_equal and target.is_file() else None
        writing = None
        try:
            for piece in pieces:
                hasher.update(piece)
                if writing is None and (present is None or present.read(len(piece)) != piece):
                    writing = partial.open("wb")
                    _copy_head(target, writing, size)
                if writing is not None:
                    writing.write(piece)
                size += len(piece)
            is_longer = present is not None and writing is None and bool(present.read(1))
            if writing is None and (present is None or is_longer):
                writing = partial.open("wb")
                _copy_head(target, writing, size)
            if writing is not None:
                writing.flush()
                os.fsync(writing.fileno())
        finally:
            for stream in (present, writing):
                if stream is not None:
                    stream.close()
        if writing is not None:
            partial.replace(target)
            _sync(target)  # on FAT, a renamed file is empty on the medium until it is synced again
        if name:
            self._written += size if writing is not None else 0
            self._kept += 0 if writing is not None else size
            digest = digests.PREFIX + hasher.hexdigest()
            self._listed[name] = Listed(path=name, size_bytes=size, digest=digest)

    def _remove_others(self) -> None:
        """What an earlier bundle in this folder left; devices' reports stay."""
        for folder in ("sha256", "trust", bundle.SBOM):
            for file in sorted((self._folder / folder).rglob("*"), reverse=True):
                path = file.relative_to(self._folder).as_posix()
                if file.is_dir() and not file.is_symlink():
                    if not any(file.iterdir()):
                        file.rmdir()
                elif path not in self._listed:
                    file.unlink()


def _copy_head(target: Path, writing: BinaryIO, size: int) -> None:
    """The first bytes, which were found equal, when a later one turned out not to be."""
    left = size
    if not left:
        return
    with target.open("rb") as reading:
        while left:
            piece = reading.read(min(left, CHUNK_BYTES))
            writing.write(piece)
            left -= len(piece)


def _at_most(stream: BinaryIO, length: int, whole: "hashlib._Hash") -> Iterator[bytes]:
    left = length
    while left:
        piece = stream.read(min(left, CHUNK_BYTES))
        if not piece:
            return
        whole.update(piece)
        left -= len(piece)
        yield piece


def _closure(deployment: Deployment, artifacts: Artifacts) -> frozenset[str]:
    listed = [ref.digest for ref in deployment.generation.artifacts]
    if deployment.policy.tool is not None:
        listed.append(deployment.policy.tool)
    for digest in listed:
        missing = artifacts.missing(digest)
        if missing:
            raise _lacking(missing[0])
    return frozenset(blob for digest in listed for blob in artifacts.closure(digest))


def _artifacts(load: Load) -> tuple[Artifact, ...]:
    found = {ref.digest for d in load.deployments for ref in d.generation.artifacts}
    return tuple(load.artifacts.get(digest) for digest in sorted(found))


def _lacking(digest: str) -> Corrupt:
    return Corrupt(
        f"Object {digest} is not in the store, so the stick would not be whole.",
        hint="Fetch it:\n    edgeform store pull DIRECTORY\nor build it again:\n    edgeform lock",
    )


def _check_names(names: Iterable[str]) -> None:
    """No two names that FAT would take for one, and none that it would change."""
    folded: dict[str, str] = {}
    for name in names:
        bundle.check_file_name(name)
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise AssertionError(f"{name} and {other} are one file on FAT")


def _sync_folders(top: Path) -> None:
    for folder in (top.parent, top, *(p for p in top.rglob("*") if p.is_dir())):
        _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
