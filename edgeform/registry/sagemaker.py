"""SageMaker's model registry: a model is a model package group, its versions are numbers.

`CustomerMetadataProperties.version` gives one a semantic version; approved is what has
`ModelApprovalStatus=Approved`. There are no aliases. `model.tar.gz`, which SageMaker wants, is unpacked.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from edgeform.registry import semver
from edgeform.registry.archive import ENDINGS, unpacked
from edgeform.registry.aws import translated
from edgeform.registry.base import Known, Listing, SourceRefused, VersionNotFound, listed
from edgeform.registry.s3 import Bucket
from edgeform.registry.spool import Offered, Spool
from edgeform.registry.web import NotThere


class SagemakerCatalogue:
    """The catalogue of one account and region."""

    def __init__(
        self, client: Callable[[], Any], bucket: Callable[[str], Bucket], spool: Spool
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._spool = spool

    def models(self) -> tuple[str, ...]:
        with translated("sagemaker"):
            pages = self._client().get_paginator("list_model_package_groups").paginate()
            return tuple(
                sorted(
                    str(group["ModelPackageGroupName"])
                    for page in pages
                    for group in page["ModelPackageGroupSummaryList"]
                )
            )

    def listing(self, source: str) -> Listing:
        found = sorted(self._packages(source).items())
        return Listing(versions=tuple(self._known(number, arn) for number, arn in found))

    def alias(self, source: str, alias: str) -> str:
        raise VersionNotFound(
            f"SageMaker has no aliases, so {alias!r} means nothing.",
            address=f"sagemaker: {source}",
            hint="Write `version: {channel: latest-approved}`, and approve a version there.",
        )

    def files(self, source: str, version: str) -> tuple[Offered, ...]:
        packages = self._packages(source)
        arn = packages.get(int(version)) if version.isdigit() else None
        if arn is None:
            raise VersionNotFound(
                f"Group {source!r} has no version {version!r}.",
                address=f"sagemaker: {source}",
                hint=listed([str(number) for number in sorted(packages)]),
            )
        where = f"sagemaker: {source} {version}"
        parts = urlsplit(_uri_of(self._described(arn)))
        key = parts.path.lstrip("/")
        if parts.scheme != "s3" or not key:
            raise SourceRefused(
                "It names no model data in S3.",
                address=where,
                hint="Register it with ModelDataUrl, or with an S3DataSource.",
            )
        bucket = self._bucket(parts.netloc)
        if key.endswith(ENDINGS):
            return unpacked(bucket.file(key), self._spool)
        return bucket.files(key.rstrip("/")) if key.endswith("/") else (bucket.file(key),)

    def _packages(self, source: str) -> dict[int, str]:
        where = f"sagemaker: {source}"
        query = {"ModelPackageGroupName": source}
        try:
            with translated(where):
                pages = self._client().get_paginator("list_model_packages").paginate(**query)
                found = {
                    int(package["ModelPackageVersion"]): str(package["ModelPackageArn"])
                    for page in pages
                    for package in page["ModelPackageSummaryList"]
                    if "ModelPackageVersion" in package
                }
        except NotThere as exc:
            detail = f"There is no model package group {source!r}."
            raise VersionNotFound(detail, address=where) from exc
        if not found:
            detail = f"Model package group {source!r} is not there, or empty."
            raise VersionNotFound(detail, address=where)
        return found

    def _described(self, arn: str) -> dict[str, Any]:
        with translated(f"sagemaker: {arn.rpartition(':')[2]}"):
            found: dict[str, Any] = self._client().describe_model_package(ModelPackageName=arn)
        return found

    def _known(self, number: int, arn: str) -> Known:
        found = self._described(arn)
        label = str(found.get("CustomerMetadataProperties", {}).get("version", ""))
        version = semver.parse(label)
        return Known(
            name=str(number),
            semver=label if version is not None else "",
            is_released=found.get("ModelPackageStatus", "Completed") == "Completed"
            and not (version is not None and version.pre),
            is_approved=found.get("ModelApprovalStatus") == "Approved",
        )


def _uri_of(package: dict[str, Any]) -> str:
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    for container in containers[:1]:
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")
    return ""
