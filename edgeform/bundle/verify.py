"""Judging a bundle as its devices will, with evidence: whole, signed, fresh, and complete for each device.

The files are held against the table of contents first, which tells damage from deceit; then the device's own
TUF client judges the metadata, and every blob is traced from a signed deployment to its bytes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgeform.errors import Corrupt, NotTrusted
from edgeform.trust.sbom import sbom
from edgeform.trust.verify import Evidence, judged, translated
from edgeform_device import tuf
from edgeform_device.errors import DeviceError, Incomplete
from edgeform_device.medium import Folder
from edgeform_wire import artifact, bundle, deployment, sealed
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact
from edgeform_wire.bundle import Contents
from edgeform_wire.deployment import Deployment
from edgeform_wire.errors import WireError

SHOWN = 5
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A bundle that devices with this root would take now.

    Args:
        deployments: each with the digests and sizes of all blobs that its device may lack.
        foreign: files that nobody listed; devices never look at them.
    """

    contents: Contents
    deployments: tuple[tuple[Deployment, tuple[tuple[str, int], ...]], ...]
    root_sha256: str
    evidence: tuple[Evidence, ...]
    foreign: tuple[str, ...]


def verify(place: Path, *, now: datetime, trusted_root: bytes | None = None) -> Proven:
    """Read everything, and prove it.

    Args:
        place: the mounted stick. trusted_root: the first root as devices have it; by default the stick's own,
            which proves only that the stick agrees with itself.

    Raises:
        Corrupt: a file is missing or damaged. NotTrusted: not signed, a link. Stale: expired.
    """
    try:
        medium = Folder(str(place))
        contents = read_contents(medium, place)
        foreign = _check_files(medium, contents, place)
        return _judge(medium, contents, foreign, now=now, trusted_root=trusted_root)
    except Incomplete as exc:
        raise Corrupt(f"{exc.summary}\n{exc.detail}", address=str(place), hint=exc.hint) from exc
    except DeviceError as exc:
        raise translated(exc, str(place)) from exc


def read_contents(medium: Folder, place: Path) -> Contents:
    """The table of contents.

    Raises:
        Corrupt: there is none, or it is damaged.
    """
    document = medium.read(bundle.CONTENTS, bundle.MAX_CONTENTS_BYTES)
    if document is None:
        raise Corrupt(
            f"There is no {bundle.CONTENTS}: the bundle was not finished, or this is none.",
            address=str(place),
            hint="Make it again; it goes on where it stopped:\n    edgeform bundle create --to DIR",
        )
    try:
        return bundle.decode(document)
    except WireError as exc:
        raise Corrupt(str(exc), address=str(place), hint=_ANEW) from exc


def metadata_of(medium: Folder, contents: Contents) -> tuple[tuple[str, bytes], ...]:
    """Every metadata file by its name, as it stands on the stick."""
    prefix = f"{bundle.METADATA}/"
    found = []
    for file in contents.files:
        if file.path.startswith(prefix):
            content = medium.read(file.path, tuf.MAX_TARGETS_BYTES)
            if content is None:
                raise Corrupt(f"{file.path} is missing.", address=medium.place, hint=_ANEW)
            found.append((file.path.removeprefix(prefix), content))
    return tuple(found)


_ANEW = "Make the stick anew:\n    edgeform bundle create --to DIR"


def _check_files(medium: Folder, contents: Contents, place: Path) -> tuple[str, ...]:
    wrong = []
    for file in contents.files:
        hasher, size = hashlib.sha256(), 0
        found = medium.size(file.path)
        if found is None:
            wrong.append(f"{file.path} is missing")
            continue
        if found == file.size_bytes:
            for piece in medium.pieces(file.path, 0):
                hasher.update(piece)
                size += len(piece)
        if found != file.size_bytes or digests.PREFIX + hasher.hexdigest() != file.digest:
            wrong.append(f"{file.path} is damaged")
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise Corrupt("\n".join([*wrong[:SHOWN], *more]), address=str(place), hint=_ANEW)
    listed = {file.path for file in contents.files} | {bundle.CONTENTS}
    top = place / bundle.FOLDER if (place / bundle.FOLDER).is_dir() else place
    there = (f.relative_to(top).as_posix() for f in top.rglob("*") if not f.is_dir())
    return tuple(
        sorted(p for p in there if p not in listed and not p.startswith(bundle.RETURN + "/"))
    )


def _judge(
    medium: Folder,
    contents: Contents,
    foreign: tuple[str, ...],
    *,
    now: datetime,
    trusted_root: bytes | None,
) -> Proven:
    own = medium.read(f"{bundle.METADATA}/1.root.json", tuf.MAX_ROOT_BYTES)
    anchor = trusted_root if trusted_root is not None else own
    if anchor is None:
        raise NotTrusted("There is no root to start from.", address=medium.place, hint=_ANEW)
    trusted = judged(
        lambda name, limit: medium.read(f"{bundle.METADATA}/{name}", limit), anchor, now=now
    )
    digest = hashlib.sha256(anchor).hexdigest()
    whose = "given" if trusted_root is not None else "its own; compare this with what devices have"
    evidence = [Evidence(subject="anchor", text=f"sha256:{digest} ({whose})")]
    deployments = []
    for addressee in contents.devices:
        found = _deployment(medium, trusted, contents.site, addressee.device)
        blobs = dict(_blobs(medium, trusted, found))
        secrets = _sealed(medium, trusted, found)
        if secrets is not None:
            evidence.append(secrets[0])
            blobs.update((secrets[1],))
        deployments.append((found, tuple(sorted(blobs.items()))))
        text = (
            f"deployment {found.number}, generation {digests.short(found.generation.digest)},"
            f" {len(found.generation.artifacts)} artifacts, {len(blobs)} blobs proven"
        )
        evidence.append(Evidence(subject=found.target_path, text=text))
    for role, version in trusted.versions().items():
        evidence.append(Evidence(subject=role, text=f"version {version}, signatures verified"))
    return Proven(
        contents=contents,
        deployments=tuple(deployments),
        root_sha256=digest,
        evidence=tuple(evidence),
        foreign=foreign,
    )


def _deployment(medium: Folder, trusted: tuf.Trusted, site: str, device: str) -> Deployment:
    path = deployment.target_path(site, device)
    target = trusted.target(path)
    if target is None:
        raise NotTrusted(f"Nothing is signed for {site}/{device}.", address=path, hint=_ANEW)
    content = _document(medium, digests.PREFIX + target.sha256)
    try:
        found = deployment.decode(content)
    except WireError as exc:
        raise NotTrusted(str(exc), address=path) from exc
    if (found.site, found.device) != (site, device):
        raise NotTrusted(
            f"The deployment at {path} is for {found.site}/{found.device}.", address=path
        )
    return found


def _sealed(
    medium: Folder, trusted: tuf.Trusted, found: Deployment
) -> tuple[Evidence, tuple[str, int]] | None:
    """The device's sealed secrets, with their document's digest and size; None where none are signed."""
    path = sealed.target_path(found.site, found.device)
    target = trusted.target(path)
    if target is None:
        return None
    digest = digests.PREFIX + target.sha256
    content = _document(medium, digest)
    try:
        secrets = sealed.decode(content)
    except WireError as exc:
        raise NotTrusted(str(exc), address=path) from exc
    here = [s.name for s in found.generation.secrets if secrets.find(s.name, s.hmac) is not None]
    text = f"{len(here)} secrets, sealed to key {digests.short(secrets.key)}"
    return Evidence(subject=path, text=text), (digest, len(content))


def _blobs(medium: Folder, trusted: tuf.Trusted, found: Deployment) -> Iterator[tuple[str, int]]:
    content = found.encoded()
    yield digests.of_bytes(content), len(content)
    listed = [ref.digest for ref in found.generation.artifacts]
    listed += [] if found.policy.tool is None else [found.policy.tool]
    for digest in listed:
        manifest = _document(medium, digest)
        read = _manifest(manifest)
        target = trusted.target(read.target_path)
        if target is None or digests.PREFIX + target.sha256 != digest:
            raise NotTrusted(
                f"{read.target_path} is not signed with the digest that the deployment names.",
                address=found.target_path,
                hint="Publish again:\n    edgeform publish plan.json",
            )
        yield digest, len(manifest)
        _check_sbom(medium, read)
        for file in read.files:
            _check_blob(medium, file.digest, file.size_bytes)
            yield file.digest, file.size_bytes


def _document(medium: Folder, digest: str) -> bytes:
    content = b"".join(pieces_of(medium, digest, MAX_DOCUMENT_BYTES))
    if digests.of_bytes(content) != digest:
        raise _damaged(medium, digest)
    return content


def _manifest(content: bytes) -> Artifact:
    try:
        return artifact.decode(content)
    except WireError as exc:
        raise NotTrusted(f"An artifact's manifest is not of the agreed form: {exc}") from exc


def _check_sbom(medium: Folder, artifact: Artifact) -> None:
    """The list of parts is what the signed manifest gives; the device tool has none."""
    name = bundle.sbom_name(artifact)
    found = medium.read(name, MAX_DOCUMENT_BYTES)
    if found is not None and found != sbom(artifact):
        raise NotTrusted(
            f"{name} is not the list of parts of the artifact that is signed.",
            address=medium.place,
            hint=_ANEW,
        )


def _check_blob(medium: Folder, digest: str, size_bytes: int) -> None:
    hasher = hashlib.sha256()
    for piece in pieces_of(medium, digest, size_bytes):
        hasher.update(piece)
    if digests.PREFIX + hasher.hexdigest() != digest:
        raise _damaged(medium, digest)


def pieces_of(medium: Folder, digest: str, limit: int) -> Iterator[bytes]:
    """A blob's bytes, whole or in parts, in one go; at most the limit.

    Raises:
        Corrupt: it is longer than that.
    """
    name = bundle.blob_name(digest)
    size = 0
    number = 0
    while True:
        is_whole = number == 0 and medium.size(bundle.part_name(name, 0)) is None
        file = name if is_whole else bundle.part_name(name, number)
        if not is_whole and medium.size(file) is None:
            return
        for piece in medium.pieces(file, 0):
            size += len(piece)
            if size > limit:
                raise _damaged(medium, digest)
            yield piece
        if is_whole:
            return
        number += 1


def _damaged(medium: Folder, digest: str) -> Corrupt:
    return Corrupt(
        f"Blob {digest} is missing, or it is not what was signed.", address=medium.place, hint=_ANEW
    )
