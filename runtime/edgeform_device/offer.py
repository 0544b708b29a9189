"""What a repository that came here offers this device, and bringing it in: for the stick and for `pull`.

The signed metadata is read once and verified by the TUF client; every byte after that is named by a signed
digest and goes through `Ingest`, which proves it while it is copied. Afterwards the transaction has all it
needs in the store and never looks at the repository again. Nothing here decides about trust or switching.
"""

import io
from typing import Dict, Iterator, List, Optional, Protocol, Tuple

from edgeform_device import manifests, trusted, tuf
from edgeform_device.clock import read_clock
from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, DeviceError, Incomplete, NotTrusted
from edgeform_device.identity import Identity
from edgeform_device.ingest import Ingest
from edgeform_device.layout import Layout
from edgeform_device.preparation import Prepare
from edgeform_device.records import State
from edgeform_device.store import Store
from edgeform_device.trusted import Approved
from edgeform_device.version import BUILT_S
from edgeform_wire import bundle, frames
from edgeform_wire import deployment as deployments
from edgeform_wire import digest as digests
from edgeform_wire import sealed as seals
from edgeform_wire.errors import WireError

MAX_CONTENTS_BYTES = 4 * 1024 * 1024
"""Longer ones are left unread: a small device has better uses for its memory than a sentence."""

Wanted = Tuple[str, int, int]
"""A blob's digest, how much of it is here, and how long it is."""


class Medium(Protocol):
    """Where a repository is. `place` is for people; `road` goes into the receipt."""

    @property
    def place(self) -> str: ...

    @property
    def road(self) -> str: ...

    def read(self, name: str, limit: int) -> Optional[bytes]:
        """At most limit + 1 bytes of a file; None where there is no such file."""
        ...

    def size(self, name: str) -> Optional[int]:
        """How long a file says it is; None where there is none, or nobody says."""
        ...

    def pieces(self, name: str, offset: int) -> Iterator[bytes]:
        """A file's bytes from an offset on; nothing where there is no such file."""
        ...


class Offer:
    """One repository and one device. `site` is whose it says it is: not signed, only for a sentence."""

    def __init__(self, medium: Medium, disk: Disk, layout: Layout, who: Identity) -> None:
        self._medium = medium
        self._disk = disk
        self._layout = layout
        self._who = who
        self._store = Store(layout, disk)
        self._metadata: Dict[str, bytes] = {}
        self._at = ""
        self.site = ""
        self.has_begun = False
        """Whether a transaction was begun for it: that one writes its own receipt."""

    def examine(self) -> Approved:
        """The deployment that is here for this device, proven; its documents are in the store afterwards.

        Raises:
            NotTrusted, Stale, Corrupt: as the TUF client and `trusted.approve` say.
            Incomplete: a document is not there, or the medium went away.
        """
        who = self._who
        self.site = self._site()
        if self.site and self.site != who.site:
            raise NotTrusted(
                f"This is for site {self.site}; this device is {who.site}/{who.device}.",
                detail=f"It is on {self._medium.place}. Nothing was read from it but its name.",
                hint=f"Bring the one that was made for {who.site}.",
            )
        metadata = tuf.refresh(self._layout.trust_dir, self._fetch, read_clock(built_s=BUILT_S))
        path = deployments.target_path(who.site, who.device)
        target = metadata.target(path)
        if target is None:
            raise NotTrusted(
                f"There is nothing here for this device ({who.site}/{who.device}).",
                detail=f"The signed metadata on {self._medium.place} has no target {path}.",
                hint="Publish for it, then make the stick anew:\n    edgeform bundle create --to DIR",
            )
        self._document(digests.PREFIX + target.sha256, path, trusted.MAX_DEPLOYMENT_BYTES)
        self._manifests(digests.PREFIX + target.sha256)
        secrets = metadata.target(seals.target_path(who.site, who.device))
        if secrets is not None:
            self._document(
                digests.PREFIX + secrets.sha256,
                seals.target_path(who.site, who.device),
                seals.MAX_BYTES,
            )
        floors = State(self._disk, self._layout).floor()
        approved = trusted.approve(self._store, who, metadata, floors)
        trusted.check_order(approved, trusted.seen(self._disk, self._layout))
        self._keep_metadata()
        return approved

    def is_here(self, approved: Approved) -> bool:
        """Whether the device is what the deployment wants already, the tool included."""
        committed = State(self._disk, self._layout).committed()
        wanted = approved.deployment.generation.digest
        if committed is None or committed.digest != wanted:
            return False
        if Prepare(self._disk, self._layout, self._who).drivers_differ(approved):
            return False
        tool = approved.tool
        return tool is None or self._disk.exists(self._layout.tool(tool.files[0].digest))

    def obstacles(self, approved: Approved) -> List[DeviceError]:
        """What the transaction would refuse whatever is copied: so nothing needs to be copied."""
        committed = State(self._disk, self._layout).committed()
        prepare = Prepare(self._disk, self._layout, self._who)
        found = prepare.refusals(approved, committed)
        return [error for error in found if not isinstance(error, Incomplete)]

    def bring(self, approved: Approved) -> int:
        """Copy what the device lacks; the bytes copied now.

        Raises:
            Corrupt: a blob is not its digest. Incomplete: one is missing, or the medium went away.
            Refused: this disk is full.
        """
        wanted = trusted.missing_blobs(self._store, approved)
        copied = sum(wanted.values())
        for digest, size_bytes in sorted(wanted.items()):
            offset = self._store.have_bytes(digest)
            if 0 < offset <= size_bytes and self._continued(digest, offset, size_bytes):
                del wanted[digest]
                copied -= offset
        # In one go: names are made durable once per folder, and not once per file.
        self._take_all((digest, 0, size_bytes) for digest, size_bytes in sorted(wanted.items()))
        return copied

    def _continued(self, digest: str, offset: int, size_bytes: int) -> bool:
        """Finish what an earlier visit began; False when what it left was the damage, and is gone now."""
        try:
            self._take_all(iter([(digest, offset, size_bytes)]))
        except Corrupt:
            return False
        return True

    def _site(self) -> str:
        """As `bundle.json` says; empty where there is none that can be read, as in a store."""
        document = self._medium.read(bundle.CONTENTS, MAX_CONTENTS_BYTES)
        if not document or len(document) > MAX_CONTENTS_BYTES:
            return ""
        try:
            return bundle.decode(document).site
        except WireError:
            return ""  # it is not signed: the metadata decides

    def _fetch(self, name: str, limit: int) -> Optional[bytes]:
        content = self._medium.read(f"{bundle.METADATA}/{name}", limit)
        if content is not None:
            self._metadata[name] = content
        return content

    def _keep_metadata(self) -> None:
        """Where the transaction looks for metadata, from now on these; only after they were verified."""
        folder = self._layout.metadata_dir
        self._disk.mkdir(folder, 0o700)
        # The timestamp last: whoever reads meanwhile follows the old one to its end.
        for name in sorted(self._metadata, key=lambda n: (n == "timestamp.json", n)):
            self._disk.write_file(f"{folder}/{name}", self._metadata[name], 0o600)

    def _manifests(self, document: str) -> None:
        try:
            found = deployments.decode(self._store.read(document, trusted.MAX_DEPLOYMENT_BYTES))
        except WireError:
            return  # `trusted.approve` reads it again and says what is wrong with it
        for ref in found.generation.artifacts:
            self._document(ref.digest, trusted.path_of(ref), manifests.MAX_MANIFEST_BYTES)
        if found.policy.tool is not None:
            self._document(found.policy.tool, "", manifests.MAX_MANIFEST_BYTES)

    def _document(self, digest: str, path: str, limit: int) -> None:
        """Have a small signed document in the store: as a blob, or as a target of a trust repository."""
        if self._store.has(digest):
            return
        content = self._medium.read(bundle.blob_name(digest), limit)
        if content is None and path:
            folder, _, name = path.rpartition("/")
            target = f"{bundle.TARGETS}/{folder}/{digests.hex_of(digest)}.{name}"
            content = self._medium.read(target, limit)
        if content is None:
            raise self._missing(digest)
        if digests.of_bytes(content) != digest:
            raise self._damaged(digest)
        frame = (_head(digest, 0, len(content)), content)
        Ingest(self._store, _Stream(iter(frame))).run()  # type: ignore[arg-type]  # it only reads

    def _take_all(self, wanted: Iterator[Wanted]) -> None:
        stream = _Stream(self._frames(wanted))
        try:
            Ingest(self._store, stream).run()  # type: ignore[arg-type]  # it only reads
        except Corrupt as exc:
            raise self._damaged(self._at) from exc

    def _frames(self, wanted: Iterator[Wanted]) -> Iterator[bytes]:
        for digest, offset, size_bytes in wanted:
            self._at = digest
            yield _head(digest, offset, size_bytes)
            yield from self._pieces(digest, offset, size_bytes)

    def _pieces(self, digest: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        """Exactly the bytes from `offset` to `size_bytes` of a blob, whole or in parts."""
        name = bundle.blob_name(digest)
        left = size_bytes - offset
        for file, start in self._files(name, offset):
            for piece in self._medium.pieces(file, start):
                if len(piece) > left:
                    raise self._damaged(digest)  # it does not end where it was signed to end
                left -= len(piece)
                yield piece
        if left == size_bytes - offset and left:
            raise self._missing(digest)
        if left:
            raise self._damaged(digest)

    def _files(self, name: str, offset: int) -> Iterator["tuple[str, int]"]:
        first = self._medium.size(bundle.part_name(name, 0))
        if first is None:
            yield name, offset
            return
        number, size, at = 0, first, 0
        while True:
            if offset < at + size:
                yield bundle.part_name(name, number), max(0, offset - at)
            at += size
            number += 1
            following = self._medium.size(bundle.part_name(name, number))
            if following is None:
                return
            size = following

    def _missing(self, digest: str) -> DeviceError:
        return Incomplete(
            f"Blob {digests.short(digest)} is not on {self._medium.place}.",
            detail=f"The whole digest is {digest}. What was copied before is kept.",
            hint="Make the stick anew, or send the blob to the server:\n"
            "    edgeform bundle verify DIR\n    edgeform store push DIRECTORY",
        )

    def _damaged(self, digest: str) -> DeviceError:
        return Corrupt(
            f"Blob {digests.short(digest)} on {self._medium.place} is damaged.",
            detail=f"Its bytes are not its digest {digest}. They were thrown away, and nothing was switched.",
            hint="Make the stick anew, or send the blob to the server again:\n"
            "    edgeform bundle verify DIR\n    edgeform store push DIRECTORY",
        )


def _head(digest: str, offset: int, size_bytes: int) -> bytes:
    header = {"blob": digest, "offset": offset, "size_bytes": size_bytes}
    return frames.head(header, size_bytes - offset)


class _Stream(io.RawIOBase):
    """Frames as the stream that `Ingest` reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._rest = b""
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found
