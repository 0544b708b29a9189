"""The registries of a workspace, with the secrets that their logins name."""

from collections.abc import Mapping
from pathlib import Path

from edgeform.cli.planning import open_resolver
from edgeform.cli.workspace import Workspace
from edgeform.domain.site import Site
from edgeform.registry.base import Registry
from edgeform.registry.open import registries_of


def downloads_of(workspace: Workspace) -> Path:
    """Where downloads lie until they are whole; what is in it can be fetched again."""
    return workspace.ensure_state_dir() / "downloads"


def open_registries(workspace: Workspace, site: Site) -> Mapping[str, Registry]:
    """By name; nothing is asked, and no secret is resolved, before it is needed."""
    return registries_of(site, open_resolver(workspace).resolve, downloads_of(workspace))
