"""Models on a web server: one index for each model, or a plain file that the site names by its digest.

    <url>/index.json                {"schema": "edgeform.models/1", "models": ["digits", "team/other"]}
    <url>/<model>/index.json        {"schema": "edgeform.model-index/1", "aliases": {...}, "versions": {...}}
    <url>/<model>/<version>/<path>  the files, unless the index gives a `url` for one

docs/reference/http-index.md is the description for those who write such an index.
"""

import re
from typing import Any
from urllib.parse import urljoin

from edgeform.registry.addresses import shown
from edgeform.registry.base import (
    Known,
    Listing,
    RegistryFailed,
    SourceRefused,
    VersionNotFound,
    check_path,
    listed,
)
from edgeform.registry.choose import by_name, is_segment
from edgeform.registry.directory import aliases_of
from edgeform.registry.spool import Offered
from edgeform.registry.web import NotThere, Web

MODELS_SCHEMA = "edgeform.models/1"
MODEL_SCHEMA = "edgeform.model-index/1"
INDEX = "index.json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PLAIN = re.compile(r"sha256-([0-9a-f]{64})\Z")
"""The version of a plain file is its digest: nothing else on a bare web server stays what it was."""


class HttpIndex:
    """The catalogue of a web server."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def models(self) -> tuple[str, ...]:
        url = self._web.under(INDEX)
        try:
            document = self._web.document(url)
        except NotThere as exc:
            raise SourceRefused(
                "There is no index of models, so nobody can list them.",
                address=shown(url),
                hint="Ask for a model by name, or write the index: docs/reference/http-index.md.",
            ) from exc
        names = document.get("models") if isinstance(document, dict) else None
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise _malformed(url, f'no {MODELS_SCHEMA!r} with a list "models"')
        return tuple(sorted(check_path(name, shown(url)) for name in names))

    def listing(self, source: str) -> Listing:
        document, url = self._index(source)
        versions, _ = _versions(document, url)
        approved = [n for n, v in versions.items() if v.get("approved") is True]
        says = any("approved" in v for v in versions.values())
        found: tuple[Known, ...] = by_name(versions, approved if says else None)
        return Listing(versions=found, aliases=aliases_of(document.get("aliases", {}), shown(url)))

    def alias(self, source: str, alias: str) -> str:
        known = dict(self.listing(source).aliases)
        if alias not in known:
            detail = f"No alias of {source!r} is called {alias!r}."
            raise VersionNotFound(detail, address=self._web.url, hint=listed(sorted(known)))
        return known[alias]

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        plain = _PLAIN.match(version)
        if plain:
            return (self._plain(source, f"sha256:{plain[1]}"),)
        document, url = self._index(source)
        versions, where = _versions(document, url)
        if version not in versions:
            raise VersionNotFound(
                f"Model {source!r} has no version {version!r}.",
                address=where,
                hint=listed(sorted(versions)),
            )
        entries = versions[version].get("files")
        if not isinstance(entries, list):
            raise _malformed(url, f'version {version!r} has no list "files"')
        return tuple(self._offered(source, version, entry, url) for entry in entries)

    def plain(self, source: str, digest: str) -> str | None:
        """The version of a plain file with this digest; None where the model has an index."""
        try:
            self._web.answer(self._web.under(source, INDEX)).close()
        except NotThere:
            return f"sha256-{digest.removeprefix('sha256:')}"
        return None

    def _plain(self, source: str, digest: str) -> Offered:
        url = self._web.under(source)
        return Offered(
            path=source.rpartition("/")[2],
            where=shown(url),
            read=self._web.reader(url),
            digest=digest,
        )

    def _index(self, source: str) -> tuple[dict[str, Any], str]:
        url = self._web.under(source, INDEX)
        try:
            document = self._web.document(url)
        except NotThere as exc:
            raise VersionNotFound(
                f"The registry has no model {source!r}.",
                address=shown(url),
                hint="A plain file is named by its digest: version: {digest: sha256:...}",
            ) from exc
        if not isinstance(document, dict) or document.get("schema") != MODEL_SCHEMA:
            raise _malformed(url, f"no object with schema {MODEL_SCHEMA!r}")
        return document, url

    def _offered(self, source: str, version: str, entry: object, url: str) -> Offered:
        value = entry if isinstance(entry, dict) else {}
        path, digest, size = value.get("path"), value.get("digest"), value.get("size_bytes")
        if not isinstance(path, str):
            raise _malformed(url, f'a file of version {version!r} has no "path"')
        check_path(path, shown(url))
        if not isinstance(digest, str) or not _DIGEST.match(digest):
            raise _malformed(url, f'{path}: "digest" is not sha256: and 64 hex digits')
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _malformed(url, f'{path}: "size_bytes" is no length')
        other = value.get("url")
        here = self._web.under(source, version, path)
        at = urljoin(url, other) if isinstance(other, str) else here
        return Offered(
            path=path,
            where=shown(at),
            read=self._web.reader(at),
            size_bytes=size,
            digest=digest,
        )


def _versions(document: dict[str, Any], url: str) -> tuple[dict[str, dict[str, Any]], str]:
    found = document.get("versions")
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise _malformed(url, 'no object "versions"')
    bad = next((name for name in found if not is_segment(name)), None)
    if bad is not None:
        raise _malformed(url, f"version {bad!r:.80} is outside the name grammar")
    return found, shown(url)


def _malformed(url: str, what: str) -> RegistryFailed:
    return RegistryFailed(
        f"This is no index of models: {what}.",
        address=shown(url),
        hint="docs/reference/http-index.md says what it must hold.",
    )
