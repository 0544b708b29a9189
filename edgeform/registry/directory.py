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
from edgeform.registry.base import (
    LFS_POINTER,
    Listing,
    RegistryFailed,
    ResolvedVersion,
    SourceFile,
    SourceRefused,
    VersionNotFound,
    check_files,
    check_path,
    copied,
    listed,
    refuse_pointer,
)
from edgeform.registry.choose import by_name, chosen, is_segment

ALIASES = "aliases.json"
MAX_DEPTH = 8


class DirectoryRegistry:
    """A registry in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def models(self) -> tuple[str, ...]:
        """See `Registry`. A model is a folder that holds folders with files, however deep it lies."""
        self._check_root()
        return tuple(sorted(self._models_below(self.root, "", 0)))

    def listing(self, source: str) -> Listing:
        """See `Registry`."""
        model = self._model(source)
        return Listing(versions=by_name(self._versions(model)), aliases=_aliases(model))

    def resolve(self, source: str, rule: VersionRule, wanted: str) -> ResolvedVersion:
        """See `Registry`."""
        model = self._model(source)
        versions = by_name(self._versions(model))
        if rule is VersionRule.DIGEST:
            return self._by_digest(source, model, Listing(versions=versions), wanted)
        aliases = _aliases(model) if rule is VersionRule.ALIAS else ()
        if rule is VersionRule.ALIAS and not aliases:
            raise VersionNotFound(
                f"There are no aliases, so {wanted!r} means nothing.",
                address=str(model / ALIASES),
                hint=f'Write the file, as\n    {{"{wanted}": "1.0.0"}}',
            )
        known = Listing(versions=versions, aliases=aliases)
        version = chosen(source, known, rule, wanted)
        # An alias may name what is not there.
        return self._resolved(source, model, chosen(source, known, VersionRule.EXACT, version))

    def open(self, resolved: ResolvedVersion, path: str) -> BinaryIO:
        """See `Registry`."""
        file = self._model(resolved.source).joinpath(resolved.version, *path.split("/"))
        try:
            return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError as exc:
            raise RegistryFailed(f"It cannot be read: {exc.strerror}.", address=str(file)) from exc

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise RegistryFailed(
                "The registry's folder is not there.",
                address=str(self.root),
                hint="Create it, or mend `path` of the registry in the Site.",
            )

    def _models_below(self, folder: Path, name: str, depth: int) -> list[str]:
        found: list[str] = []
        for below in sorted(folder.iterdir()):
            if depth > MAX_DEPTH or below.is_symlink() or not below.is_dir():
                continue
            inside = f"{name}/{below.name}".lstrip("/")
            if any(_is_version(version) for version in below.iterdir()):
                found.append(inside)
            else:
                found += self._models_below(below, inside, depth + 1)
        return found

    def _model(self, source: str) -> Path:
        check_path(source, str(self.root))
        self._check_root()
        model = self.root.joinpath(*source.split("/"))
        if not model.is_dir() or model.is_symlink():
            known = sorted(p.name for p in self.root.iterdir() if p.is_dir())
            raise VersionNotFound(
                f"The registry has no model {source!r}.",
                address=str(self.root),
                hint=listed(known),
            )
        return model

    def _versions(self, model: Path) -> tuple[str, ...]:
        try:
            found = [p.name for p in model.iterdir() if p.is_dir() and not p.is_symlink()]
        except OSError as exc:
            raise RegistryFailed(f"It cannot be read: {exc.strerror}.", address=str(model)) from exc
        return tuple(sorted(name for name in found if is_segment(name)))

    def _by_digest(self, source: str, model: Path, known: Listing, wanted: str) -> ResolvedVersion:
        for version in known.names():
            resolved = self._resolved(source, model, version)
            if resolved.digest == wanted:
                return resolved
        raise VersionNotFound(
            f"No version of {source!r} has this digest: {wanted}.",
            address=str(model),
            hint=listed(known.names()),
        )

    def _resolved(self, source: str, model: Path, version: str) -> ResolvedVersion:
        folder = model / version
        files = sorted(_files(folder))
        check_files(tuple(f.path for f in files), str(folder))
        return ResolvedVersion(source=source, version=version, files=tuple(files))


def _is_version(folder: Path) -> bool:
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and by_name((folder.name,))[0].semver == folder.name
    )


def _aliases(model: Path) -> tuple[tuple[str, str], ...]:
    file = model / ALIASES
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as exc:
        raise RegistryFailed(f"It is not JSON: {exc}.", address=str(file)) from exc
    return aliases_of(known, str(file))


def aliases_of(known: object, where: str) -> tuple[tuple[str, str], ...]:
    """A document of aliases, proven.

    Raises:
        RegistryFailed: it is none.
    """
    if not isinstance(known, dict) or not all(isinstance(v, str) for v in known.values()):
        raise RegistryFailed(
            "It is not a mapping of aliases to versions.",
            address=where,
            hint='Write for example\n    {"stable": "1.0.0"}',
        )
    return tuple(sorted((str(alias), str(version)) for alias, version in known.items()))


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
            refuse_pointer(stream.read(len(LFS_POINTER)), str(path))
            stream.seek(0)
            digest, size = copied(stream)
    except OSError as exc:
        raise RegistryFailed(f"It cannot be read: {exc.strerror}.", address=str(path)) from exc
    return SourceFile(path=inside, size_bytes=size, digest=digest)
