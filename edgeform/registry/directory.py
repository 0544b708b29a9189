"""Models in a folder: `<root>/<model>/<version>/...`, and `<root>/<model>/aliases.json` if there are aliases.

Versions are the names of folders, semantic versions. Nothing is followed out of the folder: links are
refused, and so are git-lfs pointers (the bytes are elsewhere) and names that no artifact can hold.
"""

import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

from edgeform.domain.artifacts import VersionRule
from edgeform.registry import semver
from edgeform.registry.base import (
    RegistryFailed,
    ResolvedVersion,
    SourceFile,
    SourceRefused,
    VersionNotFound,
    check_path,
    copied,
)
from edgeform_wire import artifact
from edgeform_wire.errors import WireError

ALIASES = "aliases.json"
LFS_POINTER = b"version https://git-lfs"
MAX_FILES = 10_000


class DirectoryRegistry:
    """A registry in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def resolve(self, source: str, rule: VersionRule, wanted: str) -> ResolvedVersion:
        """See `Registry`."""
        model = self._model(source)
        known = self._versions(model)
        match rule:
            case VersionRule.EXACT:
                version = wanted
            case VersionRule.ALIAS:
                version = self._alias(model, wanted)
            case VersionRule.SEMVER:
                version = _newest_in(source, known, wanted)
            case VersionRule.CHANNEL:
                version = _newest(source, known, wanted)
            case VersionRule.DIGEST:
                return self._by_digest(source, model, known, wanted)
        if version not in known:
            raise VersionNotFound(
                f"Model {source!r} has no version {version!r}.",
                address=str(model),
                hint=_listed(known),
            )
        return self._resolved(source, model, version)

    def open(self, resolved: ResolvedVersion, path: str) -> BinaryIO:
        """See `Registry`."""
        file = self._model(resolved.source).joinpath(resolved.version, *path.split("/"))
        try:
            return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError as exc:
            raise RegistryFailed(f"It cannot be read: {exc.strerror}.", address=str(file)) from exc

    def _model(self, source: str) -> Path:
        check_path(source, str(self.root))
        model = self.root.joinpath(*source.split("/"))
        if not self.root.is_dir():
            raise RegistryFailed(
                "The registry's folder is not there.",
                address=str(self.root),
                hint="Create it, or mend `path` of the registry in the Site.",
            )
        if not model.is_dir() or model.is_symlink():
            known = sorted(p.name for p in self.root.iterdir() if p.is_dir())
            raise VersionNotFound(
                f"The registry has no model {source!r}.",
                address=str(self.root),
                hint=_listed(known),
            )
        return model

    def _versions(self, model: Path) -> tuple[str, ...]:
        try:
            found = [p.name for p in model.iterdir() if p.is_dir() and not p.is_symlink()]
        except OSError as exc:
            raise RegistryFailed(f"It cannot be read: {exc.strerror}.", address=str(model)) from exc
        return tuple(sorted(name for name in found if _is_segment(name)))

    def _alias(self, model: Path, alias: str) -> str:
        file = model / ALIASES
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise VersionNotFound(
                f"There are no aliases, so {alias!r} means nothing.",
                address=str(file),
                hint=f'Write the file, as\n    {{"{alias}": "1.0.0"}}',
            ) from exc
        except (OSError, ValueError) as exc:
            raise RegistryFailed(f"It is not JSON: {exc}.", address=str(file)) from exc
        if not isinstance(known, dict) or not all(isinstance(v, str) for v in known.values()):
            raise RegistryFailed(
                "It is not a mapping of aliases to versions.",
                address=str(file),
                hint='Write for example\n    {"stable": "1.0.0"}',
            )
        if alias not in known:
            raise VersionNotFound(
                f"No alias is called {alias!r}.", address=str(file), hint=_listed(sorted(known))
            )
        return str(known[alias])

    def _by_digest(
        self, source: str, model: Path, known: tuple[str, ...], wanted: str
    ) -> ResolvedVersion:
        for version in known:
            resolved = self._resolved(source, model, version)
            if resolved.digest == wanted:
                return resolved
        raise VersionNotFound(
            f"No version of {source!r} has this digest: {wanted}.",
            address=str(model),
            hint=_listed(known),
        )

    def _resolved(self, source: str, model: Path, version: str) -> ResolvedVersion:
        folder = model / version
        files = sorted(_files(folder))
        if not files:
            raise SourceRefused("The version's folder is empty.", address=str(folder))
        if len(files) > MAX_FILES:
            raise SourceRefused(f"It has more than {MAX_FILES} files.", address=str(folder))
        try:
            artifact.check_paths(tuple(f.path for f in files))
        except WireError as exc:
            raise SourceRefused(f"{exc}.", address=str(folder)) from exc
        return ResolvedVersion(source=source, version=version, files=tuple(files))


def _files(folder: Path) -> list[SourceFile]:
    found = []
    for directory, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                what = "a link" if stat.S_ISLNK(mode) else "no plain file"
                raise SourceRefused(
                    f"It is {what}; a version consists of plain files.",
                    address=str(path),
                    hint="Put the file itself there.",
                )
            inside = check_path(path.relative_to(folder).as_posix(), str(folder))
            found.append(_file(path, inside))
    return found


def _file(path: Path, inside: str) -> SourceFile:
    try:
        with path.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise SourceRefused(
                    "It is a git-lfs pointer: the file's bytes are elsewhere.",
                    address=str(path),
                    hint="Fetch them with\n    git lfs pull",
                )
            stream.seek(0)
            digest, size = copied(stream)
    except OSError as exc:
        raise RegistryFailed(f"It cannot be read: {exc.strerror}.", address=str(path)) from exc
    return SourceFile(path=inside, size_bytes=size, digest=digest)


def _newest_in(source: str, known: tuple[str, ...], wanted: str) -> str:
    try:
        allowed = semver.parse_range(wanted)
    except semver.BadRange as exc:
        raise VersionNotFound(f"{exc}", address=source) from exc
    fitting = [
        (version, name)
        for name in known
        if (version := semver.parse(name)) is not None and allowed.holds(version)
    ]
    if not fitting:
        detail = f"No version of {source!r} is in the range {wanted!r}."
        raise VersionNotFound(detail, address=source, hint=_listed(known))
    return max(fitting)[1]


def _newest(source: str, known: tuple[str, ...], channel: str) -> str:
    if channel != "latest":
        raise VersionNotFound(
            f"A folder records no approvals, so it has no channel {channel!r}.",
            address=source,
            hint=f"Use an alias, kept in {ALIASES}.",
        )
    released = [
        (version, name)
        for name in known
        if (version := semver.parse(name)) is not None and not version.pre
    ]
    if not released:
        detail = f"Model {source!r} has no released version."
        raise VersionNotFound(detail, address=source, hint=_listed(known))
    return max(released)[1]


def _is_segment(name: str) -> bool:
    try:
        artifact.check_segment(name, "version")
    except WireError:
        return False
    return True


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return f"There are: {', '.join(names[:12])}." if names else "There are none."
