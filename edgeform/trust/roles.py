"""Who may say what: the roles of a trust repository, as values.

A layout names every role with its threshold, its lifetime and the paths it may speak about. The
development layout is the same tree with thresholds of one under a *different root*; no check is
weaker. Thresholds and lifetimes: docs/security.md, "Roles".
"""

from dataclasses import dataclass
from datetime import timedelta

from edgeform.domain.names import is_name
from edgeform.errors import UsageError

DEVELOPMENT = "development"
PRODUCTION = "production"

ROOT = "root"
TARGETS = "targets"
SNAPSHOT = "snapshot"
TIMESTAMP = "timestamp"
TOP_LEVEL = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)

SITE_PREFIX = "site-"
SITE_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One role.

    Args:
        threshold: how many of its keys must sign.
        key_count: how many keys it should have, so that one may be lost.
        patterns: target paths it may speak about; empty for the four top-level roles.
        bin_bits: more than 0 spreads its targets over 2**bin_bits delegated roles by the hash of
            their path, so that a device reads one small file whatever the fleet's size.
    """

    name: str
    threshold: int = 1
    key_count: int = 1
    lifetime: timedelta
    patterns: tuple[str, ...] = ()
    bin_bits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A whole tree of roles under one root."""

    profile: str
    roles: tuple[Role, ...]

    def role(self, name: str) -> Role:
        """The role of this name.

        Raises:
            UsageError: the layout has no such role.
        """
        for role in self.roles:
            if role.name == name:
                return role
        names = ", ".join(role.name for role in self.roles)
        raise UsageError(f"No role is called {name!r}.", hint=f"The roles are: {names}")

    @property
    def delegated(self) -> tuple[Role, ...]:
        return tuple(role for role in self.roles if role.name not in TOP_LEVEL)


def lifetime_of(role_name: str) -> timedelta:
    """How long a new version of this role is valid: it follows from the name, bins included."""
    for role in production_layout().roles:
        if role.name == role_name:
            return role.lifetime
    return SITE_LIFETIME


def site_role(site: str, *, bin_bits: int = 0) -> Role:
    """The role that signs the deployments of one site's devices.

    Raises:
        UsageError: not a site's name.
    """
    if not is_name(site):
        raise UsageError(f"{site!r} cannot be the name of a site.")
    return Role(
        name=SITE_PREFIX + site,
        lifetime=SITE_LIFETIME,
        patterns=(f"sites/{site}/*",),
        bin_bits=bin_bits,
    )


def production_layout(sites: tuple[str, ...] = (), *, bin_bits: int = 0) -> Layout:
    """Root and targets two of three, kept offline; the timestamp has a second, offline key."""
    return Layout(
        profile=PRODUCTION,
        roles=(
            Role(name=ROOT, threshold=2, key_count=3, lifetime=timedelta(days=365)),
            Role(name=TARGETS, threshold=2, key_count=3, lifetime=timedelta(days=90)),
            Role(name=SNAPSHOT, lifetime=timedelta(days=90)),
            # One of two: CI's key for seven days at a time, the release manager's for sticks.
            Role(name=TIMESTAMP, key_count=2, lifetime=timedelta(days=7)),
            Role(
                name="core",
                threshold=2,
                key_count=3,
                lifetime=timedelta(days=365),
                patterns=("artifacts/tool/*/*/*",),
            ),
            *_teams(),
            *(site_role(site, bin_bits=bin_bits) for site in sites),
        ),
    )


def development_layout(sites: tuple[str, ...] = (), *, bin_bits: int = 0) -> Layout:
    """The same tree with one key a role, for one person and one passphrase."""
    return Layout(
        profile=DEVELOPMENT,
        roles=tuple(
            Role(
                name=role.name,
                lifetime=role.lifetime,
                patterns=role.patterns,
                bin_bits=role.bin_bits,
            )
            for role in production_layout(sites, bin_bits=bin_bits).roles
        ),
    )


def _teams() -> tuple[Role, ...]:
    """Those who build: each speaks about its own kind of artifact only."""
    kinds = (("models", "model"), ("runtimes", "runtime"), ("drivers", "driver"))
    return tuple(
        Role(name=name, lifetime=timedelta(days=30), patterns=(f"artifacts/{kind}/*/*/*",))
        for name, kind in (*kinds, ("goldens", "golden"))
    )
