"""What has to reach one device, and the pieces it is cut into: pure but for file names.

Everything travels as blobs named by the digest of their bytes, documents too: an artifact's manifest is
the blob with the artifact's digest, the deployment the blob its target names. Only TUF metadata
has names of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeform.apply.device import MissingBlob, blob_head, metadata_frame
from edgeform.domain.site import SecretRef
from edgeform.transport.base import FilePart, Piece

PART_BYTES = 8 * 1024 * 1024
"""One `ingest` carries about this much: progress is shown, and a lost link loses at most this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes in the controller's store."""

    digest: str
    size_bytes: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The device tool to install where none is, and the trust it begins with."""

    path: Path
    digest: str
    root: str
    """root.json as text: the only thing ever believed without a signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """One device's delivery.

    Args:
        number: of the deployment. metadata: TUF metadata files by name.
        tool: set when the device has no tool and is to be enrolled first.
        secrets: name, reference and the HMAC that the plan saw; values are resolved when they are sent
            and not before.
        confirm: local, controller or both. wait_s: how long the device may take after activation.
    """

    site: str
    device: str
    prefix: str
    number: int
    plan_digest: str
    metadata: tuple[tuple[str, bytes], ...]
    blobs: tuple[Blob, ...]
    tool: Tool | None
    secrets: tuple[tuple[str, SecretRef, str], ...]
    confirm: str
    wait_s: float
    from_generation: int


def loads(
    shipment: Shipment, missing: tuple[MissingBlob, ...]
) -> Iterator[tuple[tuple[Piece, ...], int]]:
    """The `ingest` streams to send, each with the blob bytes it carries; metadata go in the first.

    A blob goes on where an interrupted upload ended; the device re-hashes what it has.
    """
    sizes = {b.digest: b for b in shipment.blobs}
    pieces: list[Piece] = [p for m in shipment.metadata for p in metadata_frame(*m)]
    carried = 0
    for wanted in missing:
        blob = sizes[wanted.digest]
        offset = min(wanted.have_bytes, blob.size_bytes)
        while True:
            length = min(PART_BYTES - carried, blob.size_bytes - offset)
            pieces.append(
                blob_head(blob.digest, offset=offset, length=length, size_bytes=blob.size_bytes)
            )
            if length:
                pieces.append(FilePart(path=blob.path, offset=offset, length=length))
            carried += length
            offset += length
            if carried >= PART_BYTES:
                yield tuple(pieces), carried
                pieces, carried = [], 0
            if offset >= blob.size_bytes:
                break
    if pieces:
        yield tuple(pieces), carried
