"""What a trust repository says about itself, for `edgeform trust show`."""

from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Targets

from edgeform.trust import roles
from edgeform.trust.create import PROFILE_FIELD, Trust
from edgeform.trust.publication import Signing, signings
from edgeform.trust.repository import AnyMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleShown:
    """One published role; `keys_here` of its keys can be used on this machine."""

    name: str
    version: int
    expires: datetime
    days_left: int
    threshold: int
    key_ids: tuple[str, ...]
    keys_here: int
    patterns: tuple[str, ...]
    targets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustShown:
    """The whole tree, and what is staged but not published."""

    profile: str
    roles: tuple[RoleShown, ...]
    staged: tuple[Signing, ...]


def show(trust: Trust, *, now: datetime) -> TrustShown:
    """The published roles, top level first, and the staged ones with their missing signatures."""
    repository = trust.repository
    root = repository.next_root()
    found: list[RoleShown] = []
    published = repository.root()
    if published is not None:
        found.append(_shown(trust, roles.ROOT, published, now))
    timestamp, snapshot = repository.timestamp(), repository.snapshot()
    if timestamp is not None:
        found.append(_shown(trust, roles.TIMESTAMP, timestamp, now))
    if snapshot is not None:
        found.append(_shown(trust, roles.SNAPSHOT, snapshot, now))
    names = sorted(repository.role_names(), key=lambda name: (name != roles.TARGETS, name))
    for name in names:
        role = repository.published_role(name)
        if role is not None:
            found.append(_shown(trust, name, role, now))
    return TrustShown(
        profile=str(root.signed.unrecognized_fields.get(PROFILE_FIELD, roles.PRODUCTION)),
        roles=tuple(found),
        staged=signings(repository),
    )


def _shown(
    trust: Trust,
    name: str,
    role: AnyMetadata,
    now: datetime,
) -> RoleShown:
    rule = trust.repository.delegator(name).get_delegated_role(name)
    return RoleShown(
        name=name,
        version=role.signed.version,
        expires=role.signed.expires,
        days_left=(role.signed.expires - now).days,
        threshold=rule.threshold,
        key_ids=tuple(rule.keyids),
        keys_here=sum(map(trust.keyring.is_at_hand, rule.keyids)),
        patterns=tuple(getattr(rule, "paths", None) or ()),
        targets=len(role.signed.targets) if isinstance(role.signed, Targets) else 0,
    )
