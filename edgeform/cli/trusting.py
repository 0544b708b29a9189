"""The site's trust repository as publishing and shipping see it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import click
from tuf.api.metadata import Metadata, Targets

from edgeform.cli.workspace import Workspace, now
from edgeform.errors import NotTrusted
from edgeform.trust import roles
from edgeform.trust.create import (
    KEYS_FOLDER,
    PROFILE_FIELD,
    REPOSITORY_FOLDER,
    Trust,
    add_site,
    init_development,
    open_trust,
)
from edgeform.trust.keyring import FILE_NAME
from edgeform.trust.publication import publish
from edgeform.trust.repository import NewTarget, Repository, metadata_name, target_file

DEVELOPMENT = "development"

__all__ = ["KEYS_FOLDER", "SiteTrust", "open_site_trust"]


@dataclass(slots=True)
class SiteTrust:
    """What `edgeform.publish` asks of a trust repository; targets are staged until `publish`."""

    trust: Trust
    _new: list[NewTarget] = field(default_factory=list)

    @property
    def repository(self) -> Repository:
        return self.trust.repository

    @property
    def profile(self) -> str:
        """`development` or `production`, as the root itself says."""
        root = self.repository.root()
        if root is None:
            return ""
        return str(root.signed.unrecognized_fields.get(PROFILE_FIELD, "production"))

    def target(self, path: str) -> bytes | None:
        role = self._role_of(path)
        found = role.signed.targets.get(path) if role else None
        if found is None:
            return None
        return target_file(self.repository.targets, path, found.hashes["sha256"]).read_bytes()

    def add_target(
        self, path: str, content: bytes, custom: Mapping[str, int | str | bool | None]
    ) -> None:
        self._new.append(NewTarget(path=path, content=content, custom=custom))

    def publish(self, at: datetime) -> int:
        self.repository.stage(now=at, add=self._new)
        self._new.clear()
        return publish(self.repository, self.trust.keyring, now=at).timestamp_version

    def metadata_for(self, paths: Iterable[str]) -> tuple[tuple[str, bytes], ...]:
        """Every metadata file a device needs to verify these targets, by the name it asks for."""
        folder = self.repository.metadata
        snapshot = self.repository.snapshot()
        if snapshot is None:
            raise NotTrusted(
                "Nothing has been published yet.", hint="Publish first:\n    edgeform publish PLAN"
            )
        names = {metadata_name(roles.SNAPSHOT, snapshot.signed.version), "timestamp.json"}
        names |= {p.name for p in folder.glob("*.root.json")}
        for role in {r for path in paths for r in self._chain(path)}:
            version = snapshot.signed.meta[metadata_name(role)].version
            names.add(metadata_name(role, version))
        return tuple((name, (folder / name).read_bytes()) for name in sorted(names))

    def _chain(self, path: str) -> tuple[str, ...]:
        """The roles from `targets` down to the one that may sign a path."""
        chain = [roles.TARGETS]
        while True:
            role = self.repository.published_role(chain[-1])
            delegations = role.signed.delegations if role else None
            below = delegations.get_roles_for_target(path) if delegations else ()
            found = next(iter(below), None)
            if found is None:
                return tuple(chain)
            chain.append(found[0])

    def _role_of(self, path: str) -> Metadata[Targets] | None:
        return self.repository.published_role(self._chain(path)[-1])


def open_site_trust(workspace: Workspace, site: str, *, may_create: bool) -> SiteTrust:
    """The site's trust repository.

    Args:
        may_create: make a development one, and say so, where there is none.

    Raises:
        NotTrusted: there is none, and it may not be made here.
    """
    folder = workspace.trust_dir
    passphrase = workspace.passphrase(may_create=may_create)
    if not (folder / FILE_NAME).exists():
        if not may_create:
            raise NotTrusted(
                f"{folder} holds no trust repository.",
                hint="Make one:\n    edgeform trust init --development\n"
                "or bring the published one here:\n    edgeform store pull DIRECTORY",
            )
        workspace.ensure_state_dir()
        init_development(folder, (site,), passphrase, now=now())
        click.echo(
            f"trust: made a development root below {folder / REPOSITORY_FOLDER}; its keys are on"
            " this machine only",
            err=True,
        )
    found = SiteTrust(trust=open_trust(folder, passphrase))
    if found.profile == DEVELOPMENT and f"site-{site}" not in found.repository.role_names():
        add_site(found.trust, folder, site, now=now())
    return found
