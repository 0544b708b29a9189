"""The registries of a workspace, with the secrets that their logins name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgeform.cli.planning import open_resolver
from edgeform.cli.workspace import Workspace
from edgeform.domain.site import Site
from edgeform.registry.base import Registry
from edgeform.registry.open import registries_of
from edgeform.registry.spool import Spool


def downloads_of(workspace: Workspace) -> Path:
    """Where downloads lie until they are whole; what is in it can be fetched again."""
    return workspace.ensure_state_dir() / "downloads"


@contextmanager
def open_registries(workspace: Workspace, site: Site) -> Iterator[Mapping[str, Registry]]:
    """By name; nothing is asked, and no secret is resolved, before it is needed.

    Whole downloads go at the end, whatever happened; what was interrupted stays and is gone on with.
    """
    downloads = downloads_of(workspace)
    try:
        yield registries_of(site, open_resolver(workspace).resolve, downloads)
    finally:
        Spool(downloads).clear()
