"""MLflow's model registry over its REST API, without its library (141 MB, and plain HTTP suffices).

Versions are MLflow's numbers; a tag `version` on one gives it a semantic version. Artifacts come through the
tracking server (`mlflow-artifacts:`), or from S3 where the server does not pass them on.
Source: mlflow/protos/model_registry.proto and mlflow_artifacts.proto.
"""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from edgeform.registry import semver
from edgeform.registry.base import (
    MAX_FILES,
    Known,
    Listing,
    RegistryFailed,
    SourceRefused,
    VersionNotFound,
    check_path,
)
from edgeform.registry.s3 import Bucket
from edgeform.registry.spool import Offered
from edgeform.registry.web import NotThere, Web, parsed

_API = "api/2.0/mlflow"
_ARTIFACTS = "api/2.0/mlflow-artifacts/artifacts"
_PAGE = "200"
MAX_PAGES = 500
MAX_DEPTH = 16
MLMODEL = "MLmodel"
"""Describes how MLflow's own loaders open the model; kept like every other file."""


class MlflowCatalogue:
    """The catalogue of a tracking server.

    Args:
        bucket: opens a bucket for `s3://` artifact URIs; only called when there is one.
    """

    def __init__(
        self,
        web: Web,
        bucket: Callable[[str], Bucket],
        *,
        approved_tag: str,
        approved_value: str,
    ) -> None:
        self._web = web
        self._bucket = bucket
        self._approved = (approved_tag, approved_value)

    def models(self) -> tuple[str, ...]:
        found = self._pages("registered-models/search", "registered_models", {})
        return tuple(sorted(str(model.get("name", "")) for model in found))

    def listing(self, source: str) -> Listing:
        model = self._get("registered-models/get", {"name": source}, source)
        escaped = source.replace("'", "")  # the grammar of names has none
        query = {"filter": f"name='{escaped}'", "order_by": "version_number ASC"}
        found = self._pages("model-versions/search", "model_versions", query)
        numbered = sorted((int(v["version"]), v) for v in found if str(v.get("version")).isdigit())
        registered = model.get("registered_model", {})
        aliases = [
            (str(a.get("alias")), str(a.get("version"))) for a in registered.get("aliases", [])
        ]
        return Listing(
            versions=tuple(self._known(number, value) for number, value in numbered),
            aliases=tuple(sorted(aliases)),
        )

    def alias(self, source: str, alias: str) -> str:
        query = {"name": source, "alias": alias}
        found = self._get("registered-models/alias", query, source)
        return str(found.get("model_version", {}).get("version", ""))

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        query = {"name": source, "version": version}
        found = self._get("model-versions/get", query, source).get("model_version", {})
        if found.get("status", "READY") != "READY":
            raise VersionNotFound(
                f"Version {version} of {source!r} is not ready: {found.get('status')}.",
                address=self._web.url,
                hint="Wait until its upload has ended.",
            )
        # `source` may be models:/m-...: only this call says where the bytes are.
        uri = self._get("model-versions/get-download-uri", query, source).get("artifact_uri", "")
        parts = urlsplit(str(uri))
        root = parts.path.strip("/")
        where = f"{self._web.url} ({source} {version})"
        match parts.scheme:
            case "mlflow-artifacts":
                return tuple(self._proxied(root, where))
            case "s3":
                return self._bucket(parts.netloc).files(root)
            case scheme:
                raise SourceRefused(
                    f"Its artifacts are at {scheme or 'a path'}:, which only that server can read.",
                    address=where,
                    hint="Start the server with --serve-artifacts, or keep artifacts in S3.",
                )

    def _known(self, number: int, value: dict[str, Any]) -> Known:
        tags = {t.get("key"): t.get("value") for t in value.get("tags", [])}
        label = str(tags.get("version", ""))
        parsed_label = semver.parse(label)
        tag, wanted = self._approved
        return Known(
            name=str(number),
            semver=label if parsed_label is not None else "",
            is_released=value.get("status", "READY") == "READY"
            and not (parsed_label is not None and parsed_label.pre),
            is_approved=str(tags.get(tag, "")).lower() == wanted.lower(),
        )

    def _proxied(self, root: str, where: str) -> Iterator[Offered]:
        for count, (path, size) in enumerate(self._walk(root, "", 0)):
            if count == MAX_FILES:
                raise SourceRefused(f"It has more than {MAX_FILES} files.", address=where)
            check_path(path, where)
            url = self._web.under(_ARTIFACTS, *(f"{root}/{path}".split("/")))
            yield Offered(
                path=path, where=f"{where}: {path}", read=self._web.reader(url), size_bytes=size
            )

    def _walk(self, root: str, below: str, depth: int) -> Iterator[tuple[str, int | None]]:
        if depth > MAX_DEPTH:
            raise SourceRefused("Its folders are nested too deeply.", address=self._web.url)
        query = {"path": f"{root}/{below}".rstrip("/")}
        listed = self._web.document(self._web.under(_ARTIFACTS), query=query)
        for entry in _objects(listed, "files", self._web.url):
            name = str(entry.get("path", "")).rpartition("/")[2]
            check_path(name, self._web.url)  # whatever it says, it is one name below this folder
            inside = f"{below}/{name}".lstrip("/")
            if entry.get("is_dir"):
                yield from self._walk(root, inside, depth + 1)
            else:
                size = str(entry.get("file_size", ""))
                yield inside, int(size) if size.isdigit() else None

    def _pages(self, call: str, key: str, query: dict[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = ""
        for _ in range(MAX_PAGES):
            asked = query | {"max_results": _PAGE} | ({"page_token": token} if token else {})
            page = self._web.document(self._web.under(_API, call), query=asked)
            found += _objects(page, key, self._web.url)
            token = str(page.get("next_page_token") or "")
            if not token:
                return found
        raise RegistryFailed(
            f"Its list does not end after {MAX_PAGES} pages.", address=self._web.url
        )

    def _get(self, call: str, query: dict[str, str], source: str) -> dict[str, Any]:
        """An object; a model, version or alias that is not there is answered with 404, or with 400."""
        url = self._web.under(_API, call)
        try:
            status, content = self._web.exchange(url, query=query, accept=(200, 400))
        except NotThere as exc:
            raise self._missing(source, query) from exc
        if status == 400:
            raise self._missing(source, query)
        value = parsed(content, url)
        return value if isinstance(value, dict) else {}

    def _missing(self, source: str, query: dict[str, str]) -> VersionNotFound:
        what = next((f"{k} {query[k]!r}" for k in ("alias", "version") if k in query), "versions")
        return VersionNotFound(
            f"The registry has no model {source!r}, or it has no {what}.",
            address=self._web.url,
            hint="See what there is:\n    edgeform registry show REGISTRY MODEL",
        )


def _objects(document: object, key: str, where: str) -> list[dict[str, Any]]:
    found = document.get(key, []) if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise RegistryFailed(f"Its answer has no list {key!r}: is this MLflow?", address=where)
    return found
