"""A registry elsewhere: what it lists (a `Catalogue`, one for each kind) and bytes through the spool."""

from collections.abc import Callable
from typing import BinaryIO, Protocol

from edgeform.domain.artifacts import VersionRule
from edgeform.errors import Corrupt
from edgeform.registry.base import (
    Listing,
    ResolvedVersion,
    SourceFile,
    VersionNotFound,
    check_files,
    check_path,
    listed,
)
from edgeform.registry.choose import chosen
from edgeform.registry.spool import Offered, Spool


class Catalogue(Protocol):
    """What a kind of registry must answer; everything else is the same for all."""

    def models(self) -> tuple[str, ...]:
        """See `Registry`."""

    def listing(self, source: str) -> Listing:
        """See `Registry`."""

    def alias(self, source: str, alias: str) -> str:
        """The version that an alias means now.

        Raises:
            VersionNotFound: no such alias.
        """

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        """The files of a version, whether or not `listing` has it.

        Raises:
            VersionNotFound: no such version.
        """


Plain = Callable[[str, str], str | None]
"""(name, digest) -> the version of a plain file with that digest; None where the name is no plain file."""


class RemoteRegistry:
    """Keeps the contract for any catalogue."""

    def __init__(
        self, name: str, catalogue: Catalogue, spool: Spool, *, plain: Plain | None = None
    ) -> None:
        self.name = name
        self._plain = plain
        self._catalogue = catalogue
        self._spool = spool

    def models(self) -> tuple[str, ...]:
        """See `Registry`."""
        return self._catalogue.models()

    def listing(self, source: str) -> Listing:
        """See `Registry`."""
        check_path(source, self.name)
        return self._catalogue.listing(source)

    def resolve(self, source: str, rule: VersionRule, wanted: str) -> ResolvedVersion:
        """See `Registry`."""
        check_path(source, self.name)
        match rule:
            case VersionRule.EXACT:
                return self._version(source, wanted)
            case VersionRule.ALIAS:
                return self._version(source, self._catalogue.alias(source, wanted))
            case VersionRule.DIGEST:
                return self._by_digest(source, wanted)
            case VersionRule.SEMVER | VersionRule.CHANNEL:
                known = self._catalogue.listing(source)
                return self._version(source, chosen(source, known, rule, wanted))

    def open(self, resolved: ResolvedVersion, path: str) -> BinaryIO:
        """See `Registry`; downloaded now, unless its bytes are in the spool."""
        file = next(f for f in resolved.files if f.path == path)
        held = self._spool.holds(file.digest)
        if held is not None:
            return held
        offered = self._catalogue.files(resolved.source, resolved.version)
        again = next((o for o in offered if o.path == path), None)
        if again is None:
            raise Corrupt(
                f"{resolved.source} {resolved.version}: {path} is gone.", address=self.name
            )
        taken = self._spool.take(again)
        held = self._spool.holds(taken.digest)
        if held is None:
            raise Corrupt("What was written a moment ago reads otherwise.", address=again.where)
        return held

    def _version(self, source: str, version: str) -> ResolvedVersion:
        offered = self._catalogue.files(source, version)
        where = f"{self.name}: {source} {version}"
        check_files(tuple(o.path for o in offered), where)
        return ResolvedVersion(
            source=source,
            version=version,
            files=tuple(sorted(self._measured(file) for file in offered)),
        )

    def _measured(self, file: Offered) -> SourceFile:
        if file.digest is not None and file.size_bytes is not None:
            return SourceFile(path=file.path, size_bytes=file.size_bytes, digest=file.digest)
        return self._spool.take(file)

    def _by_digest(self, source: str, wanted: str) -> ResolvedVersion:
        plain = self._plain(source, wanted) if self._plain is not None else None
        if plain is not None:
            return self._version(source, plain)
        known = self._catalogue.listing(source).names()
        for version in reversed(known):
            resolved = self._version(source, version)
            if resolved.digest == wanted:
                return resolved
        raise VersionNotFound(
            f"No version of {source!r} has this digest: {wanted}.",
            address=self.name,
            hint=listed(known),
        )
