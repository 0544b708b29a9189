"""Collecting what no root reaches: first a plan, then the deed.

An object younger than the grace time stays: somebody may be about to name it in a root.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edgeform.errors import Corrupt
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform.store.roots import Roots

GRACE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPlan:
    """What would be removed, and what is kept by whom.

    Args:
        incomplete: artifacts that a root names but that are not wholly here.
    """

    remove: tuple[str, ...]
    free_bytes: int
    kept: int
    young: int
    incomplete: tuple[str, ...]


def plan_gc(objects: Objects, roots: Roots, *, now_s: float, grace_s: float = GRACE_S) -> GcPlan:
    """What a collection would remove; nothing is changed.

    Args:
        now_s: the wall clock, in seconds since 1970, as file times have it.

    Raises:
        Corrupt: a root cannot be read, or the manifest of a kept artifact is damaged: what it needs
            is then unknown, so nothing may be removed.
    """
    artifacts = Artifacts(objects)
    reached, incomplete = _reached(artifacts, roots)
    remove: list[str] = []
    free_bytes = kept = young = 0
    for digest in objects:
        if digest in reached:
            kept += 1
            continue
        status = objects.path(digest).stat()
        if now_s - status.st_mtime < grace_s:
            young += 1
            continue
        remove.append(digest)
        free_bytes += status.st_size
    return GcPlan(
        remove=tuple(remove),
        free_bytes=free_bytes,
        kept=kept,
        young=young,
        incomplete=tuple(sorted(incomplete)),
    )


def run_gc(objects: Objects, plan: GcPlan) -> int:
    """Bytes freed by removing exactly what the plan names."""
    artifacts = Artifacts(objects)
    freed = 0
    for digest in plan.remove:
        artifacts.forget(digest)
        freed += objects.remove(digest)
    return freed


def _reached(artifacts: Artifacts, roots: Roots) -> tuple[frozenset[str], set[str]]:
    reached: set[str] = set()
    incomplete: set[str] = set()
    for digest in _named(roots):
        if artifacts.missing(digest):
            incomplete.add(digest)
        if not artifacts.objects.has(digest):
            continue
        try:
            reached |= artifacts.closure(digest)
        except Corrupt as exc:
            raise Corrupt(
                f"{exc.detail} A root names it, so nothing can be collected until it is back.",
                address=exc.address,
                hint=exc.hint,
            ) from exc
    return frozenset(reached), incomplete


def _named(roots: Roots) -> Iterator[str]:
    for artifacts in roots.all().values():
        yield from sorted(artifacts)
