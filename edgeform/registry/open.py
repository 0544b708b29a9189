"""A site's registries, ready to be asked; a new kind of registry is added here and to the schema."""

from collections.abc import Mapping
from pathlib import Path

from edgeform.domain.site import Site
from edgeform.errors import UsageError
from edgeform.registry.base import Registry
from edgeform.registry.directory import DirectoryRegistry


def registries_of(site: Site) -> Mapping[str, Registry]:
    """The registries of a site by name.

    Raises:
        UsageError: a kind that this version does not know; the schema refuses it before.
    """
    found: dict[str, Registry] = {}
    for ref in site.registries:
        if ref.kind != "directory":
            raise UsageError(f"Registries of kind {ref.kind!r} are not in this version.")
        found[ref.name] = DirectoryRegistry(Path(dict(ref.options)["path"]))
    return found
