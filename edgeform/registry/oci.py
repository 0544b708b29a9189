"""Models in an OCI registry, as `oras push` puts them there: one layer for each file.

Tags that are semantic versions are the versions, every tag is an alias. A layer's digest is the digest of the
file, so nothing is downloaded to resolve. Reading is a few plain GETs: a library would follow redirects
and send the login wherever a registry says; here it goes to the registry, or to `token_url`.
Source: OCI distribution-spec 1.1 (pull, content discovery); the token flow of distribution/distribution.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from edgeform.domain.registries import BasicLogin, Login, OciRef, TokenLogin
from edgeform.errors import Corrupt
from edgeform.registry import semver
from edgeform.registry.addresses import origin_of, shown
from edgeform.registry.archive import ENDINGS, unpacked
from edgeform.registry.base import Listing, RegistryFailed, SourceRefused, VersionNotFound
from edgeform.registry.choose import by_name, is_segment
from edgeform.registry.credentials import Resolve, basic, hint_of, text_of
from edgeform.registry.spool import Offered, Spool
from edgeform.registry.web import LoginRefused, NotThere, Web, parsed

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ACCEPT = f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
_TITLES = ("org.opencontainers.image.title", "org.cncf.model.filepath")
_PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
_UNPACK = "io.deis.oras.content.unpack"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PINNED = re.compile(r"sha256-([0-9a-f]{64})\Z")
_LINK = re.compile(r"<([^>]*)>\s*;\s*rel=\"?next\"?")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
MAX_PAGES = 100
MAX_COMPARED = 256


def _is_folder(layer: dict[str, Any], title: str) -> bool:
    """Folders are pushed as archives: oras says so by a note, its Python library by the media type alone."""
    is_packed = layer.get("mediaType") == _PACKED and not title.endswith(ENDINGS)
    return is_packed or (layer.get("annotations") or {}).get(_UNPACK) == "true"


class OciCatalogue:
    """The catalogue of a registry."""

    def __init__(self, ref: OciRef, resolve: Resolve, spool: Spool) -> None:
        self._ref = ref
        self._resolve = resolve
        self._spool = spool
        self._proof: dict[str, Mapping[str, str]] = {}
        self._scope = ""
        hint = hint_of(ref.name, ref.login)
        self._web = Web(
            ref.url,
            header=lambda: self._proof.get(self._scope, {}),
            ca_file=ref.ca_file,
            login_hint=hint,
        )

    def models(self) -> tuple[str, ...]:
        prefix = f"{self._ref.prefix}/" if self._ref.prefix else ""
        self._authorise("registry:catalog:*")
        try:
            names = self._pages(self._web.under("v2/_catalog"), "repositories")
        except NotThere as exc:
            raise SourceRefused(
                "This registry does not list its repositories.",
                address=shown(self._web.url),
                hint="Ask for a model by name.",
            ) from exc
        return tuple(sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix)))

    def listing(self, source: str) -> Listing:
        tags = self._tags(source)
        versions = [tag for tag in tags if semver.parse(tag) is not None]
        others = [tag for tag in tags if tag not in versions]
        aliases = tuple((tag, self._version_of(source, tag, versions)) for tag in sorted(others))
        return Listing(versions=by_name(versions), aliases=aliases)

    def alias(self, source: str, alias: str) -> str:
        tags = self._tags(source)
        if alias not in tags:
            raise VersionNotFound(f"{source!r} has no tag {alias!r}.", address=self._where(source))
        return self._version_of(source, alias, [t for t in tags if semver.parse(t) is not None])

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        pinned = _PINNED.match(version)
        content = self._manifest(source, f"sha256:{pinned[1]}" if pinned else version)
        where = f"{self._where(source)}:{version}"
        manifest = parsed(content, where)
        layers = manifest.get("layers") if isinstance(manifest, dict) else None
        if not isinstance(layers, list):
            raise SourceRefused(
                "It is no artifact of files, but an index or an image list.",
                address=where,
                hint="Push the files of one model:\n    oras push REGISTRY/NAME:1.0.0 model.onnx",
            )
        found: list[Offered] = []
        for layer in layers:
            found += self._layer(source, layer if isinstance(layer, dict) else {}, where)
        return tuple(found)

    def _layer(self, source: str, layer: dict[str, Any], where: str) -> tuple[Offered, ...]:
        notes = layer.get("annotations") or {}
        title = next((notes[t] for t in _TITLES if isinstance(notes.get(t), str)), None)
        digest, size = layer.get("digest"), layer.get("size")
        if title is None:
            raise SourceRefused(
                f"A layer of it has no file name ({_TITLES[0]}).",
                address=where,
                hint="Push it with oras, which names every file; images of containers are no models.",
            )
        is_length = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        if not isinstance(digest, str) or not _DIGEST.match(digest) or not is_length:
            raise SourceRefused(f"{title!r:.80} has no SHA-256 and length.", address=where)
        url = self._url(source, "blobs", digest)
        offered = Offered(
            path=str(title),
            where=f"{where}/{title}"[:300],
            read=self._reader(source, url),
            size_bytes=size,
            digest=digest,
        )
        return unpacked(offered, self._spool) if _is_folder(layer, title) else (offered,)

    def _reader(self, source: str, url: str) -> Any:  # a spool.Read
        read = self._web.reader(url)

        def authorised(offset: int, validator: str | None) -> Any:
            self._authorise(self._pull(source))
            return read(offset, validator)

        return authorised

    def _version_of(self, source: str, tag: str, versions: list[str]) -> str:
        """The semantic version with the same manifest, or the manifest itself."""
        digest = self._digest(source, tag)
        ordered = [known.name for known in by_name(versions)]
        for version in ordered[: -MAX_COMPARED - 1 : -1]:
            if self._digest(source, version) == digest:
                return version
        return digest.replace(":", "-")

    def _digest(self, source: str, reference: str) -> str:
        return f"sha256:{hashlib.sha256(self._manifest(source, reference)).hexdigest()}"

    def _manifest(self, source: str, reference: str) -> bytes:
        if not is_segment(reference) and not _DIGEST.match(reference):
            raise VersionNotFound(f"{reference!r:.80} is no tag.", address=self._where(source))
        self._authorise(self._pull(source))
        url = self._url(source, "manifests", reference)
        try:
            content = self._web.text(url, headers={"Accept": _ACCEPT})
        except NotThere as exc:
            detail = f"{source!r} has no version {reference!r}, or is not there."
            raise VersionNotFound(detail, address=self._where(source)) from exc
        if _DIGEST.match(reference):
            found = f"sha256:{hashlib.sha256(content).hexdigest()}"
            if found != reference:
                raise Corrupt(
                    f"The registry gives {found} for it.", address=f"{shown(url)} {reference}"
                )
        return content

    def _tags(self, source: str) -> list[str]:
        self._authorise(self._pull(source))
        try:
            found = self._pages(self._url(source, "tags", "list"), "tags")
        except NotThere as exc:
            detail = f"The registry has no model {source!r}."
            raise VersionNotFound(detail, address=self._where(source)) from exc
        return [tag for tag in found if is_segment(tag)]

    def _pages(self, url: str, key: str) -> list[str]:
        found: list[str] = []
        for _ in range(MAX_PAGES):
            content, headers = self._web.page(url)
            page = parsed(content, url)
            names = page.get(key) or [] if isinstance(page, dict) else None
            if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                raise RegistryFailed(f"Its answer has no list {key!r}.", address=shown(url))
            found += names
            more = _LINK.search(headers.get("Link", ""))
            if more is None:
                return found
            url = urljoin(url, more[1])
            if origin_of(url) != origin_of(self._web.url):
                raise RegistryFailed("Its next page is on another host.", address=shown(url))
        raise RegistryFailed(f"Its list does not end after {MAX_PAGES} pages.", address=shown(url))

    def _authorise(self, scope: str) -> None:
        """Have what the registry asks for before it is asked; once for each scope."""
        self._scope = scope
        if scope in self._proof:
            return
        self._proof[scope] = {}
        answer = self._web.answer(self._web.under("v2/"), accept=(200, 401, 404))
        challenge = answer.headers.get("WWW-Authenticate", "") if answer.status_code == 401 else ""
        answer.close()
        kind, _, rest = challenge.partition(" ")
        match kind.lower():
            case "":
                return
            case "basic":
                self._proof[scope] = {"Authorization": self._basic()}
            case "bearer":
                asked = dict(_CHALLENGE.findall(rest))
                self._proof[scope] = {"Authorization": f"Bearer {self._token(asked, scope)}"}
            case _:
                detail = f"It wants a login of a kind that is not known here: {kind!r:.40}."
                raise RegistryFailed(detail, address=shown(self._web.url))

    def _basic(self) -> str:
        login = self._ref.login
        if not isinstance(login, BasicLogin):
            raise LoginRefused(
                "It wants a user and a password.",
                address=shown(self._web.url),
                hint=hint_of(self._ref.name, login),
            )
        return basic(login, self._resolve)

    def _token(self, asked: Mapping[str, str], scope: str) -> str:
        login: Login | None = self._ref.login
        if isinstance(login, TokenLogin):
            return text_of(self._resolve(login.token))
        realm = asked.get("realm", "")
        trusted = (origin_of(self._ref.url), origin_of(self._ref.token_url or self._ref.url))
        if login is not None and origin_of(realm) not in trusted:
            raise LoginRefused(
                f"It wants the login to be sent to {shown(realm)!r}, which is another host.",
                address=shown(self._web.url),
                hint=f"If that is right, set `token_url: {shown(realm)}` of registry {self._ref.name!r}.",
            )
        header = {} if login is None else {"Authorization": basic(login, self._resolve)}
        web = Web(
            realm,
            header=lambda: header,
            ca_file=self._ref.ca_file,
            login_hint=hint_of(self._ref.name, login),
        )
        query = {"scope": scope} | ({"service": asked["service"]} if "service" in asked else {})
        found = web.document(realm, query=query)
        token = (
            (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
        )
        if not isinstance(token, str):
            raise LoginRefused("It gives no token.", address=shown(realm))
        return token

    def _pull(self, source: str) -> str:
        return f"repository:{self._repository(source)}:pull"

    def _repository(self, source: str) -> str:
        return f"{self._ref.prefix}/{source}" if self._ref.prefix else source

    def _url(self, source: str, *below: str) -> str:
        name = self._repository(source)
        return self._web.url + "/".join(("v2", name, *below))

    def _where(self, source: str) -> str:
        return f"{shown(self._web.url)}{self._repository(source)}"
