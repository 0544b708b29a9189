"""A model into a directory registry, and a locked one out of the store: staged, proven, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeform.build.inspection.look import everything_in
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.planning import load_site
from edgeform.cli.talking import talk
from edgeform.cli.workspace import Workspace, now
from edgeform.domain.artifacts import LockedArtifact
from edgeform.domain.registries import DirectoryRef
from edgeform.errors import EdgeformError, UsageError
from edgeform.lock.lockfile import read as read_lock
from edgeform.registry.base import SourceRefused, check_files
from edgeform.registry.choose import is_segment
from edgeform.secrets.passphrase import FILE_SUFFIX, read_passphrase
from edgeform.store.objects import sync_directory
from edgeform.trust import oms
from edgeform.trust.files import replace_file

OMS_VARIABLE = "EDGEFORM_OMS_PASSPHRASE"


class SourceHazardous(EdgeformError):
    """A file that could harm whoever opens it."""

    summary = "Model not taken in"
    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What `model import` was asked for."""

    folder: Path
    name: str
    version: str
    registry: str | None
    keys: tuple[bytes, ...]
    identity: str | None
    authority: bytes | None
    signature: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A model in a registry; `by` is empty where nobody's signature was asked for."""

    files: int
    by: str
    place: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What `model export` was asked for."""

    model: str
    variant: str | None
    out: Path
    key: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A folder that was written."""

    version: str
    variant: str
    files: int


def bring_in(workspace: Workspace, wanted: Incoming) -> Brought:
    """Copy, prove the copy, and give it its place by one rename.

    Raises:
        UsageError: no such registry, a version that is there, half a demand for a signature.
        SignatureRefused: it is not signed as demanded. SourceRefused, SourceHazardous: it must not come in.
    """
    root = _registry(workspace, wanted.registry)
    check_files((f"{wanted.name}/{wanted.version}",), str(root))
    if not is_segment(wanted.version):
        raise UsageError(f"{wanted.version!r} is no version.")
    trusted = _trusted(wanted)
    place = root.joinpath(*wanted.name.split("/"), wanted.version)
    if place.exists():
        raise UsageError(
            f"{wanted.name} {wanted.version} is there already, and a version never changes.",
            address=str(place),
            hint="Take it in under a new version.",
        )
    signature = wanted.signature or wanted.folder / oms.SIGNATURE_NAME
    place.parent.mkdir(parents=True, exist_ok=True)
    with _staged(place) as staging:
        _copy(wanted.folder, staging, besides=signature)
        by, bundle = "", b""
        if trusted is not None:
            bundle = _read_signature(signature)
            by = oms.verify(staging, bundle, trusted, signature=signature).by
        files = _judged(staging)
        if trusted is not None:
            replace_file(place.with_name(f"{wanted.version}.sig"), bundle)
    return Brought(files=files, by=by, place=place)


def give_out(workspace: Workspace, wanted: Outgoing) -> Given:
    """Write a locked variant's files, each compared with its digest, and sign them if there is a key.

    Raises:
        UsageError: no such model or variant, a folder that is there, a key that does not open.
        Corrupt: the store lacks a file, or it is damaged.
    """
    artifact = _locked(workspace, wanted)
    store = open_artifacts(workspace)
    manifest = store.get(artifact.digest)
    if wanted.out.exists():
        raise UsageError(f"{wanted.out} is there already.", hint="Name a folder that is not.")
    with _staged(wanted.out) as staging:
        for file in manifest.files:
            target = staging.joinpath(*file.path.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.objects.verified(file.digest), target)
        if wanted.key is not None:
            bundle = oms.sign(staging, wanted.key.read_bytes(), _passphrase(), name=wanted.model)
            (staging / oms.SIGNATURE_NAME).write_bytes(bundle)
    return Given(version=artifact.version, variant=artifact.variant, files=len(manifest.files))


@contextmanager
def _staged(place: Path) -> Iterator[Path]:
    """A folder beside the place, which becomes the place at the end, or goes."""
    staging = place.with_name(f".{place.name}.{os.getpid()}.part")
    staging.mkdir(parents=True)
    try:
        yield staging
        for path in staging.rglob("*"):
            _flush(path)
        staging.rename(place)
        sync_directory(place.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):
            place.parent.rmdir()  # if it was made for this model alone
        raise


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _registry(workspace: Workspace, name: str | None) -> Path:
    with talk() as listener:
        site, _ = load_site(workspace, listener)
    folders = {r.name: Path(r.path) for r in site.registries if isinstance(r, DirectoryRef)}
    if name is None and len(folders) == 1:
        return next(iter(folders.values()))
    if name is None or name not in folders:
        known = ", ".join(folders) or "none"
        raise UsageError(
            f"Models are taken into a directory registry; the site has: {known}.",
            hint="Name it with --registry, or add one:\n"
            "    registries: [{name: local, kind: directory, path: models}]",
        )
    return folders[name]


def _trusted(wanted: Incoming) -> oms.ByKey | oms.ByIdentity | None:
    if wanted.keys and wanted.identity is not None:
        raise UsageError("--oms-key and --oms-identity are two ways; choose one.")
    if wanted.keys:
        return oms.ByKey(pems=wanted.keys)
    if wanted.identity is None:
        if wanted.signature is not None or wanted.authority is not None:
            raise UsageError(
                "A signature without anybody to trust proves nothing.",
                hint="Add --oms-key KEY.pem, or --oms-identity WHO --oms-ca CA.pem.",
            )
        return None
    if wanted.authority is None:
        raise UsageError(
            "An identity needs an authority that may name it: keyless (sigstore) signatures cannot be"
            " verified offline.",
            hint="Add --oms-ca CA.pem, or have the model signed with a key and use --oms-key.",
        )
    return oms.ByIdentity(identity=wanted.identity, authority=wanted.authority, now=now())


def _read_signature(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise oms.SignatureRefused(
            f"There is no signature: {exc.strerror}.",
            address=str(file),
            hint="Name its file with --signature.",
        ) from exc


def _copy(folder: Path, staging: Path, *, besides: Path) -> None:
    """Plain files only; whatever is a link is refused, not followed."""
    for directory, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(directory, name)
            if path.absolute() == besides.absolute():
                continue
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise SourceRefused("It is a link, or no plain file.", address=str(path))
            target = staging / path.relative_to(folder)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target, follow_symlinks=False)


def _judged(staging: Path) -> int:
    found = list(everything_in(staging))
    check_files(tuple(path for path, _ in found), "the model")
    for path, value in found:
        for hazard in value.hazards:
            if hazard.is_refused:
                raise SourceHazardous(
                    f"{path} ({value.format}): {hazard.what}: {hazard.why}",
                    hint="Look at the whole model with\n    edgeform model inspect FOLDER",
                )
    return len(found)


def _locked(workspace: Workspace, wanted: Outgoing) -> LockedArtifact:
    lock = read_lock(workspace.lock_file).checked()
    variants = [a for a in lock.artifacts if a.kind == "model" and a.name == wanted.model]
    if not variants:
        raise UsageError(f"The lock has no model {wanted.model!r}.", hint="edgeform lock")
    fitting = [a for a in variants if wanted.variant in (None, a.variant)]
    if len(fitting) != 1:
        known = ", ".join(a.variant for a in variants)
        raise UsageError(f"Which variant? There are: {known}.", hint="Name it with --variant.")
    return fitting[0]


def _passphrase() -> bytes | None:
    """None where no passphrase is given: the key may be without one."""
    if os.environ.get(OMS_VARIABLE) or os.environ.get(OMS_VARIABLE + FILE_SUFFIX):
        return read_passphrase(OMS_VARIABLE, os.environ).reveal()
    return None
