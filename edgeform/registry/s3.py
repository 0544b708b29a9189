"""Models in a bucket, laid out as in a folder: `<prefix>/<model>/<version>/...`, `<model>/aliases.json`.

A bucket has no folders: whatever ends in `/` is none of a version's files. ETags say whether a file is still
the same while it is read; what it is, its own bytes say.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from edgeform.domain.registries import AwsAccess
from edgeform.registry.aws import client_of, translated
from edgeform.registry.base import (
    MAX_FILES,
    Listing,
    RegistryFailed,
    SourceRefused,
    VersionNotFound,
    check_path,
    listed,
)
from edgeform.registry.choose import by_name, is_segment
from edgeform.registry.credentials import Resolve
from edgeform.registry.directory import ALIASES, aliases_of
from edgeform.registry.spool import Dropped, Offered, Reply
from edgeform.registry.web import DOCUMENT_BYTES, NotThere

_CHUNK_BYTES = 2**18


class Bucket:
    """Objects by name in one bucket."""

    def __init__(self, name: str, client: Callable[[], Any]) -> None:
        self.name = name
        self._client = client

    def files(self, root: str) -> tuple[Offered, ...]:
        """Everything below a folder, or the one object of that name."""
        found = [self._offered(key, key[len(root) + 1 :], size) for key, size in self._below(root)]
        return tuple(found)

    def file(self, key: str) -> Offered:
        """One object, whose length the first answer says."""
        return Offered(path=key.rpartition("/")[2], where=self.where(key), read=self.read(key))

    def folders(self, root: str) -> tuple[str, ...]:
        """The names of the folders directly below a folder."""
        prefix = f"{root}/" if root else ""
        pages = self._pages(Prefix=prefix, Delimiter="/")
        names = [
            str(p["Prefix"])[len(prefix) :].rstrip("/")
            for page in pages
            for p in page.get("CommonPrefixes", [])
        ]
        return tuple(sorted(name for name in names if is_segment(name)))

    def document(self, key: str) -> bytes:
        """A small object.

        Raises:
            NotThere: there is none.
        """
        found = b"".join(self.read(key)(0, None).chunks)
        if len(found) > DOCUMENT_BYTES:
            raise RegistryFailed("It is far too large.", address=self.where(key))
        return found

    def where(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def read(self, key: str) -> Callable[[int, str | None], Reply]:
        """Opens an object; from the middle only while its ETag is the same."""

        def read(offset: int, validator: str | None) -> Reply:
            asked: dict[str, str] = {}
            if offset and validator:
                asked = {"Range": f"bytes={offset}-", "IfMatch": validator}
            with translated(self.where(key)):
                try:
                    found = self._client().get_object(Bucket=self.name, Key=key, **asked)
                except Exception:
                    if not asked:
                        raise
                    asked = {}  # another object stands there by now, or this range does not
                    found = self._client().get_object(Bucket=self.name, Key=key)
            start = offset if asked else 0
            return Reply(
                chunks=self._chunks(found["Body"], key),
                offset=start,
                size_bytes=start + int(found["ContentLength"]),
                validator=str(found.get("ETag", "")) or None,
            )

        return read

    def _offered(self, key: str, path: str, size: int) -> Offered:
        check_path(path, self.where(key))
        return Offered(path=path, where=self.where(key), read=self.read(key), size_bytes=size)

    def _below(self, root: str) -> Iterator[tuple[str, int]]:
        count = 0
        for page in self._pages(Prefix=f"{root}/"):
            for entry in page.get("Contents", []):
                key = str(entry["Key"])
                if key.endswith("/"):
                    continue
                count += 1
                if count > MAX_FILES:
                    detail = f"It has more than {MAX_FILES} files."
                    raise SourceRefused(detail, address=self.where(root))
                yield key, int(entry["Size"])

    def _pages(self, **query: str) -> Iterator[Any]:
        where = self.where(query.get("Prefix", ""))
        with translated(where):
            pages = self._client().get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self.name, **query)

    def _chunks(self, body: Any, key: str) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - only with a body of boto3

        with contextlib.closing(body):
            try:
                with translated(self.where(key)):
                    while chunk := body.read(_CHUNK_BYTES):
                        yield bytes(chunk)
            except (HTTPError, OSError) as exc:
                detail = "The connection broke."
                raise Dropped(detail, address=self.where(key)) from exc


def open_bucket(name: str, access: AwsAccess, resolve: Resolve) -> Bucket:
    """A bucket; its client is made when it is first asked."""
    made: list[Any] = []

    def client() -> Any:
        if not made:
            made.append(client_of("s3", access, resolve))
        return made[0]

    return Bucket(name, client)


class S3Catalogue:
    """The catalogue of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")

    def models(self) -> tuple[str, ...]:
        return tuple(sorted(self._models_below("", 0)))

    def listing(self, source: str) -> Listing:
        versions = self._versions(source)
        key = self._key(source, ALIASES)
        try:
            content = self._bucket.document(key)
        except NotThere:
            return Listing(versions=by_name(versions))
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise RegistryFailed("It is no JSON.", address=self._bucket.where(key)) from exc
        aliases = aliases_of(value, self._bucket.where(key))
        return Listing(versions=by_name(versions), aliases=aliases)

    def alias(self, source: str, alias: str) -> str:
        known = dict(self.listing(source).aliases)
        if alias not in known:
            detail = f"No alias of {source!r} is called {alias!r}."
            raise VersionNotFound(
                detail, address=self._bucket.where(self._key(source)), hint=listed(sorted(known))
            )
        return known[alias]

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        known = self._versions(source)
        if version not in known:
            raise VersionNotFound(
                f"Model {source!r} has no version {version!r}.",
                address=self._bucket.where(self._key(source)),
                hint=listed(known),
            )
        return self._bucket.files(self._key(source, version))

    def _versions(self, source: str) -> tuple[str, ...]:
        where = self._bucket.where(self._key(source))
        try:
            found = self._bucket.folders(self._key(source))
        except NotThere as exc:
            raise RegistryFailed(
                f"There is no bucket {self._bucket.name!r}.", address=where
            ) from exc
        if not found:
            raise VersionNotFound(f"The registry has no model {source!r}.", address=where)
        return found

    def _models_below(self, name: str, depth: int) -> Iterator[str]:
        for folder in self._bucket.folders(self._key(name) if name else self._prefix):
            inside = f"{name}/{folder}".lstrip("/")
            below = self._bucket.folders(self._key(inside))
            if any(known.semver for known in by_name(below)):
                yield inside
            elif depth < 4:
                yield from self._models_below(inside, depth + 1)

    def _key(self, *parts: str) -> str:
        return "/".join(part for part in (self._prefix, *parts) if part)
