"""What `edgeform lock` would change, without building; and whether the locked files are the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgeform.domain.artifacts import Lock, LockedSource, Model, VersionRule
from edgeform.domain.site import Site
from edgeform.lock.closures import beside, runtimes_of, serves
from edgeform.lock.resolve import (
    check_unchanged,
    is_same_rule,
    locked_variants,
    updates,
)
from edgeform.registry.base import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Sentences about the lock.

    Args:
        outdated: what `edgeform lock` would change now.
        waiting: what only `--update` would move.
    """

    outdated: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def checked(
    site: Site, registries: Mapping[str, Registry], old: Lock | None, *, update: Sequence[str] = ()
) -> Checked:
    """Compare the lock with the site and with the registries.

    Args:
        update: models whose rule would be asked again, as for `renewed`.

    Raises:
        Corrupt: a locked version has other files by now.
        UsageError, VersionNotFound, SourceRefused, RegistryFailed: see `renewed`.
    """
    wanted = updates(site, tuple(update))
    kept = {s.model: s for s in old.sources} if old else {}
    outdated: list[str] = []
    waiting: list[str] = []
    for model in site.models:
        before, registry = kept.pop(model.name, None), registries[model.registry]
        if before is None or not is_same_rule(before, model):
            now = registry.resolve(model.source, model.rule, model.wanted).version
            was = "not locked" if before is None else f"locked as {before.rule} {before.wanted}"
            outdated.append(f"{model.name}: {was}; {model.rule} {model.wanted} means {now}")
            continue
        check_unchanged(before, registry.resolve(model.source, VersionRule.EXACT, before.version))
        moved = list(_moved(model, before, registry))
        (outdated if model.name in wanted else waiting).extend(moved)
        if old is not None and not moved and locked_variants(old, model, before) is None:
            outdated.append(f"{model.name}: {before.version} lacks a variant, or has another epoch")
    outdated += [f"{gone}: no longer used" for gone in kept]
    outdated += _closures(site, old)
    return Checked(outdated=tuple(outdated), waiting=tuple(waiting))


def _moved(model: Model, before: LockedSource, registry: Registry) -> Iterator[str]:
    now = registry.resolve(model.source, model.rule, model.wanted)
    if now.version != before.version:
        asked = f"{model.rule} {model.wanted}"
        yield f"{model.name}: {asked} means {now.version} now, and {before.version} is locked"


def _closures(site: Site, old: Lock | None) -> Iterator[str]:
    """Closures that the lock lacks; whether one would come out otherwise, only building it can tell."""
    for request in runtimes_of(site.devices):
        if not any(serves(a, request) for a in (old.artifacts if old else ())):
            yield (
                f"runtime {request.engine}: not locked for {request.arch}, glibc {request.glibc},"
                f" Python {request.python}{beside(request.extras)}"
            )
