"""Signing what is staged, and publishing it in one step.

`publish` refuses below any threshold. It writes target roles, then the snapshot, then the timestamp:
until that last rename the old publication is the one everybody reads. A role that will expire soon is
renewed on the way when enough of its keys are at hand.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from edgeform.errors import NotTrusted
from edgeform.trust import roles
from edgeform.trust.files import locked, remove_file, replace_file
from edgeform.trust.keyring import KeyRing
from edgeform.trust.repository import Repository, metadata_name, serialized, whole_second

ISSUED_FIELD = "x-edgeform-issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How far a staged role is: who has signed it, and how many more it takes."""

    role: str
    version: int
    signed_by: tuple[str, ...]
    threshold: int

    @property
    def missing(self) -> int:
        return max(0, self.threshold - len(self.signed_by))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What everybody reads from now on, and what will soon need people with keys."""

    timestamp_version: int
    snapshot_version: int
    roles: tuple[str, ...]
    expires: datetime
    expiring: tuple[str, ...]


def sign(repository: Repository, keyring: KeyRing) -> tuple[Signing, ...]:
    """Add the signatures of all keys at hand to everything staged."""
    with locked(repository.folder):
        return _sign_staged(repository, keyring)


def signings(repository: Repository) -> tuple[Signing, ...]:
    """How far each staged role is, without signing."""
    staged: list[Signing] = []
    root = repository.staged_root()
    if root is not None:
        staged.append(_root_signing(repository, root))
    staged.extend(_signing(repository, name, role) for name, role in repository.staged_roles())
    return tuple(staged)


def publish(
    repository: Repository,
    keyring: KeyRing,
    *,
    now: datetime,
    valid_for: timedelta | None = None,
) -> Published:
    """Make everything staged the publication that devices follow.

    Args:
        valid_for: how long the timestamp holds; by default seven days, longer for a stick.

    Raises:
        NotTrusted: a staged role, the snapshot or the timestamp stays below its threshold.
    """
    with locked(repository.folder):
        expiring = _renew(repository, keyring, now)
        incomplete = [s for s in _sign_staged(repository, keyring) if s.missing]
        if incomplete:
            raise _below_threshold(incomplete)
        root = repository.staged_root()
        if root is not None:
            file = repository.metadata / metadata_name("root", root.signed.version)
            replace_file(file, serialized(root))
        staged = dict(repository.staged_roles())
        for name, role in staged.items():
            file = repository.metadata / metadata_name(name, role.signed.version)
            replace_file(file, serialized(role))
        snapshot = _next_snapshot(repository, keyring, staged, now)
        timestamp = _next_timestamp(repository, keyring, snapshot, now, valid_for)
        replace_file(repository.metadata / "timestamp.json", serialized(timestamp))
        for name in staged:
            remove_file(repository.staged / metadata_name(name))
        if root is not None:
            remove_file(repository.staged / "root.json")
    return Published(
        timestamp_version=timestamp.signed.version,
        snapshot_version=snapshot.signed.version,
        roles=tuple(staged),
        expires=timestamp.signed.expires,
        expiring=expiring,
    )


def export_timestamp(
    repository: Repository, keyring: KeyRing, *, now: datetime, valid_for: timedelta
) -> bytes:
    """A timestamp for a stick, valid for longer than the published one; that one is signed anew after it.

    A device that took the stick's would otherwise refuse the published one as older.

    Raises:
        NotTrusted: nothing is published yet, or no timestamp key is at hand.
    """
    with locked(repository.folder):
        snapshot = repository.snapshot()
        if snapshot is None:
            raise NotTrusted(
                "Nothing has been published yet.", hint="Publish first:\n    edgeform publish PLAN"
            )
        exported = _next_timestamp(repository, keyring, snapshot, now, valid_for)
        after = exported.signed.version + 1
        published = _next_timestamp(repository, keyring, snapshot, now, None, at_least=after)
        replace_file(repository.metadata / "timestamp.json", serialized(published))
    return serialized(exported)


def _sign_staged(repository: Repository, keyring: KeyRing) -> tuple[Signing, ...]:
    root = repository.staged_root()
    if root is not None:
        for key_id in _root_key_ids(repository, root):
            if key_id not in root.signatures and keyring.is_at_hand(key_id):
                root.sign(keyring.signer(key_id), append=True)
        repository.write_staged("root", root)
    for name, role in repository.staged_roles():
        _sign_role(repository, keyring, name, role)
        repository.write_staged(name, role)
    return signings(repository)


def _sign_role(
    repository: Repository,
    keyring: KeyRing,
    name: str,
    role: Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp],
) -> Signing:
    """Sign with keys at hand until the threshold is reached; more would only make it longer."""
    for key_id in repository.delegator(name).get_delegated_role(name).keyids:
        signing = _signing(repository, name, role)
        if signing.missing and key_id not in signing.signed_by and keyring.is_at_hand(key_id):
            role.sign(keyring.signer(key_id), append=True)
    return _signing(repository, name, role)


def _signing(
    repository: Repository,
    name: str,
    role: Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp],
) -> Signing:
    result = repository.delegator(name).get_verification_result(
        name, role.signed_bytes, role.signatures
    )
    return Signing(
        role=name,
        version=role.signed.version,
        signed_by=tuple(sorted(result.signed)),
        threshold=result.threshold,
    )


def _root_signing(repository: Repository, root: Metadata[Root]) -> Signing:
    """A root must satisfy the root before it and itself; the less satisfied of the two counts."""
    before = repository.root()
    results = root.signed.get_root_verification_result(
        before.signed if before else None, root.signed_bytes, root.signatures
    )
    worst = max(results.first, results.second, key=lambda result: result.missing)
    return Signing(
        role="root",
        version=root.signed.version,
        signed_by=tuple(sorted(worst.signed)),
        threshold=worst.threshold,
    )


def _root_key_ids(repository: Repository, root: Metadata[Root]) -> tuple[str, ...]:
    before = repository.root()
    old = before.signed.roles["root"].keyids if before else []
    return tuple(dict.fromkeys([*root.signed.roles["root"].keyids, *old]))


def _next_snapshot(
    repository: Repository, keyring: KeyRing, staged: dict[str, Metadata[Targets]], now: datetime
) -> Metadata[Snapshot]:
    """The published snapshot if it still holds, else its next version."""
    published = repository.snapshot()
    lifetime = roles.lifetime_of(roles.SNAPSHOT)
    if (
        published
        and not staged
        and not _is_near_expiry(published, lifetime, now)
        and not _signing(repository, roles.SNAPSHOT, published).missing  # its keys may have changed
    ):
        return published
    signed = published.signed if published else Snapshot(meta={})
    signed.version = signed.version + 1 if published else 1
    signed.expires = whole_second(now) + lifetime
    for name, role in staged.items():
        signed.meta[f"{name}.json"] = _pinned(repository, name, role)
    snapshot = Metadata(signed)
    _must_sign(repository, keyring, roles.SNAPSHOT, snapshot)
    data = serialized(snapshot)
    replace_file(repository.metadata / metadata_name("snapshot", signed.version), data)
    return snapshot


def _pinned(repository: Repository, name: str, role: Metadata[Targets]) -> MetaFile:
    """A role by version, length and digest; a bin by its version alone.

    Every device reads the whole snapshot: with digests, 256 bins would cost it 25 kB more.
    """
    delegator = repository.delegator(name)
    is_bin = (
        isinstance(delegator, Targets) and delegator.delegations and not delegator.delegations.roles
    )
    if is_bin:
        return MetaFile(role.signed.version)
    return MetaFile.from_data(role.signed.version, serialized(role), ["sha256"])


def _next_timestamp(
    repository: Repository,
    keyring: KeyRing,
    snapshot: Metadata[Snapshot],
    now: datetime,
    valid_for: timedelta | None,
    *,
    at_least: int = 0,
) -> Metadata[Timestamp]:
    """Its version is the time in Unix seconds, so that CI and an offline export never collide."""
    published = repository.timestamp()
    before = published.signed.version if published else 0
    at = whole_second(now)
    signed = Timestamp(
        version=max(before + 1, int(at.timestamp()), at_least),
        expires=at + (valid_for or roles.lifetime_of(roles.TIMESTAMP)),
        snapshot_meta=MetaFile.from_data(snapshot.signed.version, serialized(snapshot), ["sha256"]),
        unrecognized_fields={ISSUED_FIELD: at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
    timestamp = Metadata(signed)
    _must_sign(repository, keyring, roles.TIMESTAMP, timestamp)
    return timestamp


def _must_sign(
    repository: Repository,
    keyring: KeyRing,
    name: str,
    role: Metadata[Snapshot] | Metadata[Timestamp],
) -> None:
    signing = _sign_role(repository, keyring, name, role)
    if signing.missing:
        raise _below_threshold([signing])


def _renew(repository: Repository, keyring: KeyRing, now: datetime) -> tuple[str, ...]:
    """Stage roles that expire soon and can be signed here; answers those that need other people."""
    expiring: list[str] = []
    root = repository.root()
    if root is not None and _is_near_expiry(root, roles.lifetime_of(roles.ROOT), now):
        expiring.append(roles.ROOT)
    for name in repository.role_names():
        role = repository.published_role(name)
        if role is None or repository.staged_role(name) is not None:
            continue
        if not _is_near_expiry(role, roles.lifetime_of(name), now):
            continue
        rule = repository.delegator(name).get_delegated_role(name)
        if sum(map(keyring.is_at_hand, rule.keyids)) >= rule.threshold:
            repository.restage(name, role, now=now)
        else:
            expiring.append(name)
    return tuple(expiring)


def _is_near_expiry(
    role: Metadata[Root] | Metadata[Targets] | Metadata[Snapshot],
    lifetime: timedelta,
    now: datetime,
) -> bool:
    return role.signed.expires - now < lifetime / 3


def _below_threshold(incomplete: list[Signing]) -> NotTrusted:
    lines = [
        f"{s.role} version {s.version} carries {len(s.signed_by)} of the {s.threshold} signatures "
        "that it demands."
        for s in incomplete
    ]
    return NotTrusted(
        "\n".join(lines),
        hint="Nothing was published. Let those who hold the missing keys sign:\n    edgeform trust sign",
    )
