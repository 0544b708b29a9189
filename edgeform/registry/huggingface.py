"""A Hugging Face hub: versions are commits, because tags and branches move.

`exact` takes a commit of 40 hex digits; a tag or a branch is an alias, a tag that is a semantic version (with
or without `v`) takes part in ranges. Files in Git LFS have their SHA-256 in the hub's answer, others are
downloaded and hashed.
Source: https://huggingface.co/docs/hub/api (GET /api/models/{repo}/revision/{rev}, .../refs) and the
`resolve` addresses that huggingface_hub.hf_hub_url builds. Not tested against the hub itself.
"""

import re
from typing import Any

from edgeform.registry import semver
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
from edgeform.registry.spool import Offered
from edgeform.registry.web import LoginRefused, NotThere, Web

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class HuggingFaceCatalogue:
    """The catalogue of a hub; a model is `owner/name`."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def models(self) -> tuple[str, ...]:
        raise SourceRefused(
            "A hub has more models than anybody can list.",
            address=shown(self._web.url),
            hint="Ask for one by name: owner/name.",
        )

    def listing(self, source: str) -> Listing:
        tags, branches = self._refs(source)
        known = []
        for tag, commit in tags.items():
            label = tag.removeprefix("v")
            version = semver.parse(label)
            if version is not None:
                known.append(
                    (version, Known(name=commit, semver=label, is_released=not version.pre))
                )
        known.sort(key=lambda k: k[0])
        return Listing(
            versions=tuple(k for _, k in known), aliases=tuple(sorted({**branches, **tags}.items()))
        )

    def alias(self, source: str, alias: str) -> str:
        tags, branches = self._refs(source)
        found = tags.get(alias) or branches.get(alias)
        if found is None:
            raise VersionNotFound(
                f"{source!r} has no tag or branch {alias!r}.",
                address=shown(self._web.url),
                hint=listed(sorted({*tags, *branches})),
            )
        return found

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        if not _COMMIT.match(version):
            raise VersionNotFound(
                f"{version!r} is no commit, and only a commit stays what it is.",
                address=f"{shown(self._web.url)}{source}",
                hint=f"Write 40 hex digits, or `version: {{alias: {version}}}` for a tag.",
            )
        url = self._web.under("api/models", source, "revision", version)
        found = self._get(url, source, version, {"blobs": "true"})
        if found.get("sha") != version:
            raise RegistryFailed("The hub answers with another commit.", address=shown(url))
        siblings = found.get("siblings")
        if not isinstance(siblings, list):
            raise RegistryFailed("Its answer has no list of files.", address=shown(url))
        return tuple(self._offered(source, version, s, shown(url)) for s in siblings)

    def _offered(self, source: str, version: str, sibling: Any, where: str) -> Offered:
        value = sibling if isinstance(sibling, dict) else {}
        path = check_path(str(value.get("rfilename", "")), where)
        lfs = value.get("lfs") or {}
        digest, size = str(lfs.get("sha256", "")), lfs.get("size", value.get("size"))
        url = self._web.under(source, "resolve", version, path)
        return Offered(
            path=path,
            where=shown(url),
            read=self._web.reader(url),
            size_bytes=size if isinstance(size, int) else None,
            digest=f"sha256:{digest}" if _SHA256.match(digest) else None,
        )

    def _refs(self, source: str) -> tuple[dict[str, str], dict[str, str]]:
        found = self._get(self._web.under("api/models", source, "refs"), source, "")
        return _commits(found.get("tags")), _commits(found.get("branches"))

    def _get(
        self, url: str, source: str, version: str, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            found = self._web.document(url, query=query)
        except (NotThere, LoginRefused) as exc:
            if isinstance(exc, LoginRefused) and "403" in exc.detail:
                raise
            # The hub answers 401 for what is not there, so that nobody learns what is private.
            what = f"{source!r} {version}".rstrip()
            raise VersionNotFound(
                f"The hub has no {what}, or does not show it to this login.",
                address=shown(self._web.url),
                hint=exc.hint,
            ) from exc
        if not isinstance(found, dict):
            raise RegistryFailed("Its answer is no object: is this a hub?", address=shown(url))
        return found


def _commits(refs: object) -> dict[str, str]:
    found = {}
    for ref in refs if isinstance(refs, list) else []:
        if isinstance(ref, dict) and _COMMIT.match(str(ref.get("targetCommit", ""))):
            found[str(ref.get("name", ""))] = str(ref["targetCommit"])
    return found
