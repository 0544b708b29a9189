"""A TUF repository on disk: what is published, what is staged, and how one becomes the other.

    metadata/N.root.json  N.snapshot.json  N.<role>.json  timestamp.json     published
    targets/<path with the digest before the file's name>                    content of targets
    staged/<role>.json                                                       next versions, being signed

Published is what `timestamp.json` reaches, and nothing else. A change is staged as the next version
of its role, signed by as many people as the role demands, on as many machines as that takes, and
published in one step. Consistent snapshots; the format is python-tuf's.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edgeform.errors import Corrupt, NotTrusted, UsageError
from edgeform.trust import roles
from edgeform.trust.files import locked, replace_file

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)
AnyMetadata = Metadata[Root] | Metadata[Timestamp] | Metadata[Snapshot] | Metadata[Targets]
JsonScalar = str | int | bool | None
_COMPACT = JSONSerializer(compact=True)
STAGED_FOLDER = "staged"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTarget:
    """A file to be signed: a manifest or a deployment. `custom` is signed beside its digest."""

    path: str
    content: bytes
    custom: Mapping[str, JsonScalar] = field(default_factory=dict)


class Repository:
    """A repository folder; reading never writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.staged = folder / STAGED_FOLDER

    # What is published

    def root(self) -> Metadata[Root] | None:
        """The newest root; None before the first publish."""
        version = 0
        while (self.metadata / f"{version + 1}.root.json").is_file():
            version += 1
        return _load(self.metadata / f"{version}.root.json", Root) if version else None

    def timestamp(self) -> Metadata[Timestamp] | None:
        file = self.metadata / "timestamp.json"
        return _load(file, Timestamp) if file.is_file() else None

    def snapshot(self) -> Metadata[Snapshot] | None:
        timestamp = self.timestamp()
        if timestamp is None:
            return None
        version = timestamp.signed.snapshot_meta.version
        return _load(self.metadata / f"{version}.snapshot.json", Snapshot)

    def published_role(self, name: str) -> Metadata[Targets] | None:
        """The published version of `targets` or of a delegated role."""
        snapshot = self.snapshot()
        meta = snapshot.signed.meta.get(f"{name}.json") if snapshot else None
        return _load(self.metadata / metadata_name(name, meta.version), Targets) if meta else None

    def role_names(self) -> tuple[str, ...]:
        """`targets` and every delegated role that the snapshot lists."""
        snapshot = self.snapshot()
        names = snapshot.signed.meta if snapshot else {}
        return tuple(sorted(name.removesuffix(".json") for name in names))

    # What is staged

    def staged_root(self) -> Metadata[Root] | None:
        file = self.staged / "root.json"
        staged = _load(file, Root) if file.is_file() else None
        published = self.root()
        if staged and published and staged.signed.version <= published.signed.version:
            return None  # left behind by a publish that was killed after it had succeeded
        return staged

    def staged_role(self, name: str) -> Metadata[Targets] | None:
        file = self.staged / metadata_name(name)
        if not file.is_file():
            return None
        staged, published = _load(file, Targets), self.published_role(name)
        if published and staged.signed.version <= published.signed.version:
            return None
        return staged

    def staged_roles(self) -> Iterator[tuple[str, Metadata[Targets]]]:
        """Staged versions of targets roles, `targets` first: it says who may sign the others."""
        names = sorted(
            (_role_name(file) for file in self.staged.glob("*.json")),
            key=lambda name: (name != roles.TARGETS, name),
        )
        for name in names:
            staged = self.staged_role(name) if name != roles.ROOT else None
            if staged is not None:
                yield name, staged

    def write_staged(self, name: str, metadata: Metadata[Root] | Metadata[Targets]) -> None:
        replace_file(self.staged / metadata_name(name), serialized(metadata))

    def next_root(self) -> Metadata[Root]:
        """The root that will hold after the next publish.

        Raises:
            UsageError: there is no repository here.
        """
        root = self.staged_root() or self.root()
        if root is None:
            raise UsageError(
                "There is no trust repository here.",
                address=str(self.folder),
                hint="Make one:\n    edgeform trust init",
            )
        return root

    def next_role(self, name: str) -> Metadata[Targets] | None:
        return self.staged_role(name) or self.published_role(name)

    def delegator(self, name: str) -> Root | Targets:
        """Who says whose signatures a role needs: root, `targets`, or the role whose bin it is.

        Raises:
            UsageError: nobody delegates to such a role.
        """
        if name in roles.TOP_LEVEL:
            return self.next_root().signed
        for candidate in (roles.TARGETS, name.rpartition("-")[0]):
            delegator = self.next_role(candidate) if candidate else None
            delegations = delegator.signed.delegations if delegator else None
            if delegator is None or delegations is None:
                continue
            if name in (delegations.roles or {}):
                return delegator.signed
            if delegations.succinct_roles and delegations.succinct_roles.is_delegated_role(name):
                return delegator.signed
        raise UsageError(
            f"No role is called {name!r}.",
            hint=f"The roles are: {', '.join(self.role_names())}",
        )

    def role_for(self, path: str) -> str:
        """The delegated role that may speak about this target path.

        Raises:
            UsageError: no role may, so devices would never find the target.
        """
        return self._role_for(path, {})

    def _role_for(self, path: str, read: dict[str, Metadata[Targets] | None]) -> str:
        """`role_for`, reading each role on the way only once: fleets have thousands of paths."""
        name = roles.TARGETS
        while True:
            if name not in read:
                read[name] = self.next_role(name)
            role = read[name]
            delegations = role.signed.delegations if role else None
            below = delegations.get_roles_for_target(path) if delegations else ()
            found = next(iter(below), None)
            if found is None:
                break
            name = found[0]
        if name == roles.TARGETS:
            raise UsageError(
                f"No role of this repository may sign {path!r}.",
                hint="Artifacts stand at artifacts/<kind>/<name>/<version>/<variant>.json, deployments "
                "at sites/<site>/<device>.json. For a new site:\n    edgeform trust init --development",
            )
        return name

    def stage(
        self, *, now: datetime, add: Iterable[NewTarget] = (), remove: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """Put targets into the next versions of their roles; answers the roles that changed.

        A target that is already signed with the same digest and custom fields changes nothing.
        """
        with locked(self.folder):
            return self._stage(now, add, remove)

    def _stage(
        self, now: datetime, add: Iterable[NewTarget], remove: Iterable[str]
    ) -> tuple[str, ...]:
        by_role: dict[str, Metadata[Targets]] = {}
        read: dict[str, Metadata[Targets] | None] = {}
        changed: set[str] = set()

        def editable(path: str) -> tuple[str, Metadata[Targets]]:
            name = self._role_for(path, read)
            if name not in by_role:
                by_role[name] = self.next_role(name) or Metadata(Targets())
            return name, by_role[name]

        for target in add:
            name, role = editable(target.path)
            file = TargetFile.from_data(target.path, target.content, ["sha256"])
            if target.custom:
                file.unrecognized_fields["custom"] = dict(target.custom)
            replace_target(self.targets, target.path, target.content)
            if role.signed.targets.get(target.path) != file:
                role.signed.targets[target.path] = file
                changed.add(name)
        for path in remove:
            name, role = editable(path)
            if role.signed.targets.pop(path, None) is not None:
                changed.add(name)
        for name in sorted(changed):
            self.restage(name, by_role[name], now=now)
        return tuple(sorted(changed))

    def restage(self, name: str, role: Metadata[Targets], *, now: datetime) -> None:
        """Make this the next version of the role: all signatures must be given anew."""
        published = self.published_role(name)
        role.signed.version = published.signed.version + 1 if published else 1
        role.signed.expires = whole_second(now) + roles.lifetime_of(name)
        role.signatures.clear()
        self.write_staged(name, role)


def replace_target(folder: Path, path: str, content: bytes) -> None:
    """Write a target's bytes where consistent snapshots look for them: digest before the name."""
    file = target_file(folder, path, hashlib.sha256(content).hexdigest())
    if not file.is_file() or file.read_bytes() != content:
        replace_file(file, content)


def target_file(folder: Path, path: str, sha256: str) -> Path:
    parent, _, name = path.rpartition("/")
    return folder / parent / f"{sha256}.{name}"


def metadata_name(role: str, version: int | None = None) -> str:
    name = quote(role, safe="") + ".json"
    return name if version is None else f"{version}.{name}"


def serialized(metadata: AnyMetadata) -> bytes:
    return metadata.to_bytes(_COMPACT)


def whole_second(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _role_name(file: Path) -> str:
    return file.name.removesuffix(".json")


def _load(file: Path, kind: type[S]) -> Metadata[S]:
    try:
        metadata = Metadata[S].from_bytes(file.read_bytes())
    except FileNotFoundError as exc:
        raise Corrupt(
            "This metadata file is referred to, but it is not there.",
            address=str(file),
            hint="Restore the repository from its remote:\n    edgeform store pull DIRECTORY",
        ) from exc
    except (DeserializationError, RepositoryError, ValueError) as exc:
        raise NotTrusted(f"Not well-formed TUF metadata: {exc}", address=str(file)) from exc
    if not isinstance(metadata.signed, kind):
        raise NotTrusted(
            f"The file holds {metadata.signed.type} metadata, not {kind.type}.", address=str(file)
        )
    return metadata
