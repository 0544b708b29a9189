"""Figures of models, for plans: those of the lock, and of what devices run as far as the store knows it."""

from collections.abc import Callable, Mapping
from functools import cache

from edgeform.cli.workspace import Workspace
from edgeform.domain.artifacts import Lock
from edgeform.errors import Corrupt
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects

MODEL = "model"


def measures_of(workspace: Workspace, lock: Lock) -> Callable[[str], Mapping[str, float]]:
    """What the gate measured of an artifact, and its `size_bytes`, by digest; each is looked up once."""
    locked = {
        str(a.digest): dict(a.measures) | {"size_bytes": float(a.size_bytes)}
        for a in lock.artifacts
        if a.kind == MODEL
    }
    store = Artifacts(Objects(workspace.store_dir))

    @cache
    def measures(digest: str) -> Mapping[str, float]:
        return locked.get(digest) or _stored(store, digest)

    return measures


def _stored(store: Artifacts, digest: str) -> Mapping[str, float]:
    """What an artifact's own manifest says; nothing where the store does not have it."""
    if not store.objects.has(digest):
        return {}
    try:
        found = store.get(digest)
    except Corrupt:
        return {}  # a plan needs no bytes of what already runs; `store` verbs tell of damage
    measures = found.metadata.get("measures", {})
    kept = {str(k): float(v) for k, v in measures.items() if isinstance(v, (int, float))}
    return kept | {"size_bytes": float(found.size_bytes)}
