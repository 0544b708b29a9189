"""What this device may install: its own deployment and artifacts, each a target that is signed now.

Bytes come from the store by the digest that the signed metadata names, are read once and are the only
ones used afterwards. Whether the deployment also *fits* this machine is preflight's question.
"""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from edgeform_device import tuf
from edgeform_device.clock import read_clock
from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, Incomplete, NotTrusted, Stale
from edgeform_device.identity import Identity
from edgeform_device.layout import Layout
from edgeform_device.manifests import read_artifact
from edgeform_device.store import Store
from edgeform_device.version import BUILT_S
from edgeform_wire import canonical
from edgeform_wire import deployment as deployments
from edgeform_wire import digest as digests
from edgeform_wire import sealed as seals
from edgeform_wire.artifact import Artifact
from edgeform_wire.deployment import Deployment
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields
from edgeform_wire.generation import ArtifactRef, Generation
from edgeform_wire.sealed import Sealed

MAX_DEPLOYMENT_BYTES = 4 * 1024 * 1024
SEEN = "deployment"


@dataclass(frozen=True)
class Seen:
    """The newest deployment that was ever accepted here: its number, and the digest of its document."""

    number: int
    digest: str


@dataclass(frozen=True)
class Approved:
    """A deployment that was proven to be this device's, with the manifests it may use.

    Args:
        digest: of the deployment document, so that one number cannot mean two things.
        tool: the device tool to update to, where the policy names one.
        freshness: `known`, or `unknown` where no clock vouches for the time.
        sealed: secrets that came sealed to this device's key, where the site signed such and they are here.
    """

    deployment: Deployment
    digest: str
    artifacts: Tuple[Artifact, ...]
    tool: Optional[Artifact]
    versions: Dict[str, int]
    freshness: str
    profile: str
    sealed: Optional[Sealed] = None

    @property
    def all_artifacts(self) -> Tuple[Artifact, ...]:
        return self.artifacts if self.tool is None else (*self.artifacts, self.tool)


def refreshed(layout: Layout) -> tuf.Trusted:
    """The newest metadata among what was uploaded, verified and stored.

    Raises:
        NotTrusted, Stale, Corrupt: as the TUF client says.
    """
    fetch = tuf.folder_fetch(layout.metadata_dir)
    return tuf.refresh(layout.trust_dir, fetch, read_clock(built_s=BUILT_S))


def approve(
    store: Store,
    who: Identity,
    trusted: tuf.Trusted,
    floors: Dict[str, int],
    number: Optional[int] = None,
) -> Approved:
    """The deployment of this very device, with all that it names.

    Args:
        floors: the lowest epoch that may be installed, by `<kind>/<name>`.
        number: the deployment that was asked for; None takes the one that is signed now.

    Raises:
        NotTrusted: it or one of its artifacts is not signed now, is somebody else's, or below a floor.
        Stale: another number is signed now than was asked for.
        Incomplete, Corrupt: a document is not in the store, or damaged there.
    """
    path = deployments.target_path(who.site, who.device)
    target = trusted.target(path)
    if target is None:
        raise NotTrusted(
            f"Nothing is signed for this device ({who.site}/{who.device}).",
            detail=f"The current metadata has no target {path}.",
            hint="Publish for it:\n    edgeform publish plan.json",
        )
    digest = digests.PREFIX + target.sha256
    content = store.read(digest, min(target.length, MAX_DEPLOYMENT_BYTES))
    found = _decoded(content, path)
    _check_own(found, who, number)
    return Approved(
        deployment=found,
        digest=digest,
        artifacts=tuple(
            _artifact(store, trusted, ref, floors) for ref in found.generation.artifacts
        ),
        tool=_tool(store, trusted, found.policy.tool, floors),
        versions=trusted.versions(),
        freshness=trusted.freshness,
        profile=trusted.root_profile,
        sealed=_sealed(store, trusted, who),
    )


def seen(disk: Disk, layout: Layout) -> Optional[Seen]:
    """The newest deployment that was accepted on this device; None before the first.

    Raises:
        Corrupt: the record cannot be read.
    """
    content = disk.read(layout.state(SEEN))
    if content is None:
        return None
    try:
        fields = Fields(canonical.decode(content, SEEN), SEEN)
        fields.integer("format", minimum=1)
        found = Seen(number=fields.integer("number", minimum=1), digest=fields.digest("digest"))
        fields.done()
    except WireError as exc:
        raise Corrupt(
            "The record of the newest deployment cannot be read.",
            detail=f"{layout.state(SEEN)}: {exc}",
            hint="Keep the file for analysis; a person has to decide what this device may accept.",
        ) from exc
    return found


def check_order(approved: Approved, newest: Optional[Seen]) -> None:
    """Refuse a deployment that is older than one accepted before, or is another with the same number.

    Raises:
        NotTrusted: names both.
    """
    number = approved.deployment.number
    if newest is None or number > newest.number:
        return
    if number == newest.number and approved.digest == newest.digest:
        return
    raise NotTrusted(
        f"Deployment {number} is offered, and this device has accepted {newest.number} before.",
        detail="Numbers only go up, and one number is one document: going back is how an old mistake "
        "would be brought again.",
        hint="Publish again; it gets a new number:\n    edgeform publish plan.json",
    )


def remember(disk: Disk, layout: Layout, approved: Approved) -> None:
    """Raise the number that this device will never go below."""
    record = Seen(approved.deployment.number, approved.digest)
    if seen(disk, layout) != record:
        disk.write_file(layout.state(SEEN), canonical.encode(dict(vars(record), format=1)))


def check_not_revoked(trusted: tuf.Trusted, content: Generation) -> None:
    """Refuse a kept generation with an artifact that nobody signs any more.

    Raises:
        NotTrusted: names it; the device may not return to it, not even by itself.
    """
    for ref in content.artifacts:
        path = path_of(ref)
        target = trusted.target(path)
        if target is None or digests.PREFIX + target.sha256 != ref.digest:
            raise NotTrusted(
                f"{ref.name} {ref.version} was revoked: it is no signed target any more.",
                detail=f"Digest {ref.digest}, target {path}.",
                hint="Publish a generation without it.",
            )


def missing_blobs(store: Store, approved: Approved) -> Dict[str, int]:
    """The blobs that must still come, by digest, with their sizes."""
    return {
        file.digest: file.size_bytes
        for artifact in approved.all_artifacts
        for file in artifact.files
        if not store.has(file.digest, file.size_bytes)
    }


def _decoded(content: bytes, path: str) -> Deployment:
    try:
        return deployments.decode(content)
    except WireError as exc:
        raise NotTrusted(
            "The signed deployment is not of the form that this tool understands.",
            detail=f"{path}: {exc}",
            hint="Update the device tool, or publish with a controller of its version.",
        ) from exc


def _sealed(store: Store, trusted: tuf.Trusted, who: Identity) -> Optional[Sealed]:
    """The device's sealed secrets; None where none are signed, or where another road brought the values.

    Raises:
        NotTrusted: they are another device's, or not of the agreed form.
    """
    path = seals.target_path(who.site, who.device)
    target = trusted.target(path)
    if target is None or not store.has(digests.PREFIX + target.sha256):
        return None
    content = store.read(digests.PREFIX + target.sha256, min(target.length, seals.MAX_BYTES))
    try:
        found = seals.decode(content)
    except WireError as exc:
        raise NotTrusted(
            "The signed secrets are not of the form that this tool understands.",
            detail=f"{path}: {exc}",
            hint="Update the device tool, or publish with a controller of its version.",
        ) from exc
    if (found.site, found.device) != (who.site, who.device):
        raise NotTrusted(
            f"The secrets at {path} are for {found.site}/{found.device};"
            f" this device is {who.site}/{who.device}.",
            hint="Publish again:\n    edgeform publish plan.json",
        )
    return found


def _check_own(found: Deployment, who: Identity, number: Optional[int]) -> None:
    if (found.site, found.device) != (who.site, who.device):
        raise NotTrusted(
            f"The deployment is for {found.site}/{found.device};"
            f" this device is {who.site}/{who.device}.",
            hint="Publish again; somebody has mixed up two devices' documents.",
        )
    if number is not None and found.number != number:
        raise Stale(
            f"Deployment {number} was asked for; {found.number} is the one that is signed now.",
            hint="Publish and apply again:\n    edgeform apply",
        )


def path_of(ref: ArtifactRef) -> str:
    return f"artifacts/{ref.kind}/{ref.name}/{ref.version}/{ref.variant}.json"


def _artifact(
    store: Store, trusted: tuf.Trusted, ref: ArtifactRef, floors: Dict[str, int]
) -> Artifact:
    _check_target(trusted, path_of(ref), ref.digest)
    found = read_artifact(store, ref.digest)
    same = (ref.kind, ref.name, ref.version, ref.variant, ref.epoch)
    if same != (found.kind, found.name, found.version, found.variant, found.epoch):
        raise NotTrusted(
            f"The deployment calls an artifact {ref.kind}/{ref.name} {ref.version}, epoch {ref.epoch};"
            f" its own manifest says {found.kind}/{found.name} {found.version}, epoch {found.epoch}.",
            hint="Publish again:\n    edgeform publish plan.json",
        )
    _check_floor(found, floors)
    return found


def _tool(
    store: Store, trusted: tuf.Trusted, digest: Optional[str], floors: Dict[str, int]
) -> Optional[Artifact]:
    if digest is None:
        return None
    found = read_artifact(store, digest)
    if found.kind != "tool" or len(found.files) != 1:
        raise NotTrusted(
            f"The policy names {found.kind}/{found.name} as the device tool; it is none.",
        )
    _check_target(trusted, found.target_path, digest)
    _check_floor(found, floors)
    return found


def _check_target(trusted: tuf.Trusted, path: str, digest: str) -> None:
    target = trusted.target(path)
    if target is None:
        raise NotTrusted(
            f"{path} is not signed, or not any more.",
            detail=f"The deployment wants it with digest {digest}.",
            hint="Sign and publish it:\n    edgeform publish plan.json",
        )
    if digests.PREFIX + target.sha256 != digest:
        raise NotTrusted(
            f"{path} is signed with another digest than the deployment names.",
            detail=f"Signed: sha256:{target.sha256}; wanted: {digest}.",
            hint="Publish again:\n    edgeform publish plan.json",
        )


def _check_floor(found: Artifact, floors: Dict[str, int]) -> None:
    floor = floors.get(f"{found.kind}/{found.name}", 0)
    if found.epoch < floor:
        raise NotTrusted(
            f"{found.name} {found.version} has epoch {found.epoch}; the floor of this device is {floor}.",
            detail="A newer one was committed here, and it was raised so that nobody goes back.",
            hint="Publish an artifact with epoch " + str(floor) + " or higher.",
        )


def require_blobs(store: Store, approved: Approved) -> None:
    """Nothing, when every byte that the deployment needs is here.

    Raises:
        Incomplete: says how many are missing, and names one.
    """
    absent = missing_blobs(store, approved)
    if absent:
        raise Incomplete(
            f"{len(absent)} blob(s) with {sum(absent.values())} bytes have not arrived.",
            detail="The first is " + min(absent) + ".",
            hint="Send what is missing:\n    edgeform apply",
        )
