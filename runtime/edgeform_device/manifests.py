"""Artifact manifests out of the store, by digest; whether they may be used is for `trusted` to say.

A module of its own: to compare files with a manifest, nobody needs the whole of trust.
"""

from edgeform_device.errors import Corrupt
from edgeform_device.store import Store
from edgeform_wire import artifact as artifacts
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact
from edgeform_wire.errors import WireError

MAX_MANIFEST_BYTES = 8 * 1024 * 1024


def read_artifact(store: Store, digest: str) -> Artifact:
    """The manifest with this digest, from the store.

    Raises:
        Incomplete: it is not here. Corrupt: it is damaged or not a manifest.
    """
    content = store.read(digest, MAX_MANIFEST_BYTES)
    try:
        return artifacts.decode(content)
    except WireError as exc:
        raise Corrupt(
            f"Artifact manifest {digests.short(digest)} is not of the agreed form.",
            detail=str(exc),
            hint="Build and publish the artifact again.",
        ) from exc
