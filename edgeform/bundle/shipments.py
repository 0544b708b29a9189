"""From a verified stick to what `apply` carries: the laptop copies while hashing, and sends only its copy."""

from edgeform.apply.shipment import Blob, Shipment, Tool
from edgeform.bundle.verify import Proven, metadata_of, pieces_of
from edgeform.domain.observed import Observed
from edgeform.store.objects import Objects
from edgeform_device.medium import Folder
from edgeform_wire.deployment import Deployment

MARGIN_S = 120.0


def copy_in(medium: Folder, objects: Objects, blobs: tuple[tuple[str, int], ...]) -> int:
    """Have these blobs in the store; the bytes copied now.

    Raises:
        Corrupt: one is missing on the stick, or damaged there.
    """
    copied = 0
    for digest, size_bytes in blobs:
        if objects.has(digest):
            continue
        part = objects.part(digest)
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            for piece in pieces_of(medium, digest, size_bytes):
                stream.write(piece)
        objects.adopt(part, digest)
        copied += size_bytes
    return copied


def shipment(
    medium: Folder,
    proven: Proven,
    found: tuple[Deployment, tuple[tuple[str, int], ...]],
    objects: Objects,
    *,
    prefix: str,
    tool: Tool | None,
    seen: Observed,
) -> Shipment:
    """One device's delivery from the stick. Secrets are never on a stick: what is there stays.

    Args:
        tool: the laptop's own, with a root that a person or the site vouches for; never the stick's.
    """
    deployment, blobs = found
    policy = deployment.policy
    return Shipment(
        site=deployment.site,
        device=deployment.device,
        prefix=prefix,
        number=deployment.number,
        plan_digest=deployment.plan_digest,
        metadata=metadata_of(medium, proven.contents),
        blobs=tuple(Blob(digest=d, size_bytes=s, path=objects.path(d)) for d, s in blobs),
        tool=tool if seen.tool is None else None,
        secrets=(),
        confirm=policy.confirm,
        wait_s=policy.deadline_s + policy.confirm_s + policy.soak_s + MARGIN_S,
        from_generation=seen.committed,
    )
