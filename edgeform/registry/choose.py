"""Which of the versions that a registry has a rule means: the same words for every kind."""

from collections.abc import Iterable

from edgeform.domain.artifacts import VersionRule
from edgeform.registry import semver
from edgeform.registry.base import Known, Listing, VersionNotFound, listed
from edgeform_wire import artifact
from edgeform_wire.errors import WireError


def chosen(source: str, listing: Listing, rule: VersionRule, wanted: str) -> str:
    """The name of the version that the rule means; `digest` needs the files and is not answered here.

    Raises:
        VersionNotFound: none.
    """
    match rule:
        case VersionRule.ALIAS:
            return _alias(source, listing, wanted)
        case VersionRule.SEMVER:
            return _newest_in(source, listing, wanted)
        case VersionRule.CHANNEL:
            return _newest(source, listing, wanted)
        case VersionRule.EXACT | VersionRule.DIGEST:
            if wanted in listing.names():
                return wanted
            raise VersionNotFound(
                f"Model {source!r} has no version {wanted!r}.",
                address=source,
                hint=listed(listing.names()),
            )


def by_name(names: Iterable[str], approved: Iterable[str] | None = None) -> tuple[Known, ...]:
    """Versions whose names are semantic versions, the oldest first; other names before them, unreleased."""
    yes = None if approved is None else frozenset(approved)
    found = []
    for name in names:
        version = semver.parse(name)
        known = Known(
            name=name,
            semver=name if version is not None else "",
            is_released=version is not None and not version.pre,
            is_approved=None if yes is None else name in yes,
        )
        found.append((version is not None, version or semver.Version(0, 0, 0), name, known))
    return tuple(known for *_, known in sorted(found, key=lambda f: f[:3]))


def is_segment(name: str) -> bool:
    """Whether the name could stand in a path."""
    try:
        artifact.check_segment(name, "version")
    except WireError:
        return False
    return True


def _alias(source: str, listing: Listing, alias: str) -> str:
    known = dict(listing.aliases)
    if alias not in known:
        detail = f"No alias of {source!r} is called {alias!r}."
        raise VersionNotFound(detail, address=source, hint=listed(sorted(known)))
    return known[alias]


def _newest_in(source: str, listing: Listing, wanted: str) -> str:
    try:
        allowed = semver.parse_range(wanted)
    except semver.BadRange as exc:
        raise VersionNotFound(f"{exc}", address=source) from exc
    fitting = [
        (version, number, known.name)
        for number, known in enumerate(listing.versions)
        if (version := semver.parse(known.semver)) is not None and allowed.holds(version)
    ]
    if not fitting:
        detail = f"No version of {source!r} is in the range {wanted!r}."
        raise VersionNotFound(detail, address=source, hint=listed(_semvers(listing)))
    return max(fitting)[2]


def _semvers(listing: Listing) -> list[str]:
    return [known.semver for known in listing.versions if known.semver]


def _newest(source: str, listing: Listing, channel: str) -> str:
    if channel not in ("latest", "latest-approved"):
        raise VersionNotFound(f"There is no channel {channel!r}.", address=source)
    released = [known for known in listing.versions if known.is_released]
    if not released:
        detail = f"Model {source!r} has no released version."
        raise VersionNotFound(detail, address=source, hint=listed(listing.names()))
    if channel == "latest":
        return released[-1].name
    if all(known.is_approved is None for known in released):
        raise VersionNotFound(
            f"This registry records no approvals, so {source!r} has no channel {channel!r}.",
            address=source,
            hint="Use an alias that whoever approves moves.",
        )
    approved = [known for known in released if known.is_approved]
    if not approved:
        raise VersionNotFound(
            f"No version of {source!r} is approved.",
            address=source,
            hint=listed([known.name for known in released]),
        )
    return approved[-1].name
