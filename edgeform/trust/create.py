"""Making a trust repository: keys, a root, and the tree of roles under it.

`init_development` is for one person: it makes every key, under one passphrase, and publishes. In
production the keys belong to several people and exist before: `init_production` stages the roles,
the key holders sign, and `publish` refuses until enough of them have.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, SuccinctRoles, Targets

from edgeform.errors import UsageError
from edgeform.trust import roles
from edgeform.trust.files import locked
from edgeform.trust.keyring import FILE_NAME, KeyRing, load_keyring
from edgeform.trust.keys import (
    FILE_SCHEME,
    SCRYPT_P_DEVELOPMENT,
    Passphrase,
    PublicKey,
    Randomness,
    generate_key,
)
from edgeform.trust.publication import Published, Signing, publish, sign
from edgeform.trust.repository import Repository, whole_second

PROFILE_FIELD = "x-edgeform-profile"
REPOSITORY_FOLDER = "repository"
KEYS_FOLDER = "keys"

RoleKeys = Mapping[str, tuple[PublicKey, ...]]
"""Public keys by role name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A trust folder: the repository everybody may read, and the key ring that stays here."""

    repository: Repository
    keyring: KeyRing


def open_trust(folder: Path, passphrase: Passphrase) -> Trust:
    """The trust folder at this place.

    Raises:
        UsageError: there is none.
    """
    return Trust(
        repository=Repository(folder / REPOSITORY_FOLDER),
        keyring=load_keyring(folder, passphrase),
    )


def init_development(
    folder: Path,
    sites: tuple[str, ...],
    passphrase: Passphrase,
    *,
    now: datetime,
    bin_bits: int = 0,
    random: Randomness = secrets.token_bytes,
) -> Published:
    """A published repository under a development root, with one new key for each role.

    Raises:
        UsageError: the folder already holds one, or the passphrase is empty.
    """
    layout = roles.development_layout(sites, bin_bits=bin_bits)
    _check_absent(folder)
    keys = {role.name: (_new_key(folder, role.name, passphrase, random),) for role in layout.roles}
    trust = _stage_layout(folder, layout, keys, passphrase, now)
    return publish(trust.repository, trust.keyring, now=now)


def init_production(
    folder: Path,
    layout: roles.Layout,
    keys: RoleKeys,
    passphrase: Passphrase,
    *,
    now: datetime,
) -> tuple[Signing, ...]:
    """A staged repository, signed by the keys at hand; it answers which signatures are missing.

    Raises:
        UsageError: the folder already holds one, or a role has too few different keys.
    """
    _check_absent(folder)
    for role in layout.roles:
        found = len({key.key_id for key in keys.get(role.name, ())})
        if found < max(role.threshold, role.key_count):
            raise UsageError(
                f"Role {role.name!r} has {found} different keys; it needs {role.key_count}, of which "
                f"{role.threshold} must sign.",
                hint="Make the missing ones, each where its holder keeps it:\n    edgeform trust keygen FILE",
            )
    trust = _stage_layout(folder, layout, keys, passphrase, now)
    return sign(trust.repository, trust.keyring)


def add_site(
    trust: Trust,
    folder: Path,
    site: str,
    *,
    now: datetime,
    random: Randomness = secrets.token_bytes,
) -> PublicKey:
    """Delegate a further site to a new key; `targets` must then be signed and published.

    Raises:
        UsageError: the site is already there, or there is no repository.
    """
    rule = roles.site_role(site)
    targets = trust.repository.next_role(roles.TARGETS)
    if targets is None or targets.signed.delegations is None:
        raise UsageError("There is no trust repository here.", address=str(folder))
    if rule.name in (targets.signed.delegations.roles or {}):
        raise UsageError(f"The site {site!r} has its role already.")
    key = _new_key(folder, rule.name, trust.keyring.passphrase, random)
    KeyRing(
        folder=folder, keys=(*trust.keyring.keys, key), passphrase=trust.keyring.passphrase
    ).save()
    with locked(trust.repository.folder):
        _delegate(targets.signed, rule, (key,))
        trust.repository.restage(roles.TARGETS, targets, now=now)
        trust.repository.restage(rule.name, Metadata(Targets()), now=now)
    return key


def _check_absent(folder: Path) -> None:
    if (folder / FILE_NAME).exists():
        raise UsageError(
            "There is a trust repository here already; its devices follow its root.",
            address=str(folder),
            hint="Look at it with:\n    edgeform trust show",
        )


def _new_key(folder: Path, name: str, passphrase: Passphrase, random: Randomness) -> PublicKey:
    file = folder / KEYS_FOLDER / f"{name}.pem"
    return generate_key(
        file,
        passphrase,
        uri=f"{FILE_SCHEME}{KEYS_FOLDER}/{name}.pem",
        random=random,
        scrypt_p=SCRYPT_P_DEVELOPMENT,
    )


def _stage_layout(
    folder: Path, layout: roles.Layout, keys: RoleKeys, passphrase: Passphrase, now: datetime
) -> Trust:
    root = Root(
        version=1,
        expires=whole_second(now) + layout.role(roles.ROOT).lifetime,
        consistent_snapshot=True,
        unrecognized_fields={PROFILE_FIELD: layout.profile},
    )
    for name in roles.TOP_LEVEL:
        for key in keys[name]:
            root.add_key(_tuf_key(key), name)
        root.roles[name].threshold = layout.role(name).threshold
    targets = Targets(delegations=Delegations({}, {}))
    repository = Repository(folder / REPOSITORY_FOLDER)
    with locked(repository.folder):
        repository.write_staged(roles.ROOT, Metadata(root))
        for rule in layout.delegated:
            _delegate(targets, rule, keys[rule.name])
        repository.restage(roles.TARGETS, Metadata(targets), now=now)
        for rule in layout.delegated:
            _stage_delegated(repository, rule, keys[rule.name], now)
    unique = {key.key_id: key for held in keys.values() for key in held}
    keyring = KeyRing(folder=folder, keys=tuple(unique.values()), passphrase=passphrase)
    keyring.save()  # last: its presence says that the folder is whole
    return Trust(repository=repository, keyring=keyring)


def _delegate(targets: Targets, rule: roles.Role, keys: tuple[PublicKey, ...]) -> None:
    """Add a role: terminating, so that nobody else may speak about its paths."""
    delegations = targets.delegations
    if delegations is None or delegations.roles is None:
        raise AssertionError("top-level targets delegate by path")
    delegations.roles[rule.name] = DelegatedRole(
        rule.name, [], rule.threshold, terminating=True, paths=list(rule.patterns)
    )
    for key in keys:
        targets.add_key(_tuf_key(key), rule.name)


def _stage_delegated(
    repository: Repository, rule: roles.Role, keys: tuple[PublicKey, ...], now: datetime
) -> None:
    signed = Targets()
    if rule.bin_bits:
        bins = SuccinctRoles([key.key_id for key in keys], rule.threshold, rule.bin_bits, rule.name)
        signed.delegations = Delegations(
            {key.key_id: _tuf_key(key) for key in keys}, succinct_roles=bins
        )
        for name in bins.get_roles():
            repository.restage(name, Metadata(Targets()), now=now)
    repository.restage(rule.name, Metadata(signed), now=now)


def _tuf_key(key: PublicKey) -> SSlibKey:
    return SSlibKey(key.key_id, "ecdsa", "ecdsa-sha2-nistp256", {"public": key.pem})
