"""Which objects are artifact manifests, and whether all their files are here.

An artifact is put in one call, files first and manifest last, so that a manifest in the index means
that its files were in the store.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeform.errors import Corrupt
from edgeform.store.objects import Objects, sync_directory
from edgeform_wire import artifact
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact
from edgeform_wire.errors import WireError


class Artifacts:
    """The artifacts of a store; the index is one empty file per manifest."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._index = objects.folder / "artifacts"

    def add(self, manifest: Artifact, files: Mapping[str, Path]) -> str:
        """The artifact's digest; `files` says where each path of the manifest lies now.

        Raises:
            Corrupt: a file is not what the manifest says.
        """
        for file in manifest.files:
            if not self.objects.has(file.digest):
                self.objects.put_file(files[file.path], file.digest)
        return self.index(manifest.encoded())

    def index(self, document: bytes) -> str:
        """The digest of a manifest, which is known as an artifact from now on.

        Raises:
            Corrupt: the bytes are no manifest, or not in canonical form.
        """
        try:
            found = artifact.decode(document)
        except WireError as exc:
            raise Corrupt(f"This is no artifact manifest: {exc}") from exc
        if found.encoded() != document:
            raise Corrupt(
                "The manifest is not in canonical form, so its digest means nothing.",
                address=found.target_path,
            )
        digest = self.objects.put(document)
        self._index.mkdir(parents=True, exist_ok=True)
        (self._index / digests.hex_of(digest)).touch()
        sync_directory(self._index)
        return digest

    def get(self, digest: str) -> Artifact:
        """The artifact with this digest, its manifest proven.

        Raises:
            Corrupt: no such manifest, a damaged one, or an object that is no manifest.
        """
        try:
            return artifact.decode(self.objects.read(digest))
        except WireError as exc:
            raise Corrupt(f"Object {digest} is no artifact manifest: {exc}") from exc

    def missing(self, digest: str) -> tuple[str, ...]:
        """Digests of the files that the store lacks, of the manifest itself if that is not here."""
        if not self.objects.has(digest):
            return (digest,)
        return tuple(
            dict.fromkeys(
                f.digest for f in self.get(digest).files if not self.objects.has(f.digest)
            )
        )

    def closure(self, digest: str) -> frozenset[str]:
        """The manifest and all its files, by digest: what must travel, and what must be kept.

        Raises:
            Corrupt: the manifest is missing or damaged.
        """
        return frozenset({digest, *(f.digest for f in self.get(digest).files)})

    def forget(self, digest: str) -> None:
        (self._index / digests.hex_of(digest)).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        """The digests of all artifacts whose manifest is here, sorted."""
        if not self._index.is_dir():
            return
        for file in sorted(self._index.iterdir()):
            if self.objects.has(digests.PREFIX + file.name):
                yield digests.PREFIX + file.name
