"""A site's registries, ready to be asked; a new kind of registry is added here and to the schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from edgeform.domain.registries import (
    DirectoryRef,
    HttpRef,
    HuggingFaceRef,
    Login,
    MlflowRef,
    OciRef,
    RegistryRef,
    S3Ref,
    SagemakerRef,
)
from edgeform.domain.site import SecretRef, Site
from edgeform.errors import UsageError
from edgeform.registry.aws import client_of
from edgeform.registry.base import Registry
from edgeform.registry.credentials import Resolve, Secret, header_of, hint_of
from edgeform.registry.directory import DirectoryRegistry
from edgeform.registry.huggingface import HuggingFaceCatalogue
from edgeform.registry.index import HttpIndex
from edgeform.registry.mlflow import MlflowCatalogue
from edgeform.registry.oci import OciCatalogue
from edgeform.registry.remote import RemoteRegistry
from edgeform.registry.s3 import S3Catalogue, open_bucket
from edgeform.registry.sagemaker import SagemakerCatalogue
from edgeform.registry.spool import Spool
from edgeform.registry.web import Web


def registries_of(
    site: Site, resolve: Resolve | None = None, downloads: Path | None = None
) -> Mapping[str, Registry]:
    """The registries of a site by name; none is asked anything yet.

    Args:
        resolve: gives the values of the site's secrets when a registry wants a login.
        downloads: where downloads are kept until they are whole; registries elsewhere need it.
    """
    return {ref.name: opened(ref, resolve or _no_secrets, downloads) for ref in site.registries}


def opened(ref: RegistryRef, resolve: Resolve, downloads: Path | None) -> Registry:
    """The registry of a reference.

    Raises:
        UsageError: one elsewhere, without a place for downloads.
    """
    if isinstance(ref, DirectoryRef):
        return DirectoryRegistry(Path(ref.path))
    if downloads is None:
        raise UsageError(f"Registry {ref.name!r} needs a place for downloads.")
    spool = Spool(downloads)
    match ref:
        case HttpRef():
            index = HttpIndex(_web(ref.name, ref.url, ref.login, ref.ca_file, resolve))
            return RemoteRegistry(ref.name, index, spool, plain=index.plain)
        case MlflowRef():
            mlflow = MlflowCatalogue(
                _web(ref.name, ref.url, ref.login, ref.ca_file, resolve),
                lambda name: open_bucket(name, ref.aws, resolve),
                approved_tag=ref.approved_tag,
                approved_value=ref.approved_value,
            )
            return RemoteRegistry(ref.name, mlflow, spool)
        case SagemakerRef():
            sagemaker = SagemakerCatalogue(
                lambda: client_of("sagemaker", ref.aws, resolve),
                lambda name: open_bucket(name, ref.aws, resolve),
                spool,
            )
            return RemoteRegistry(ref.name, sagemaker, spool)
        case OciRef():
            return RemoteRegistry(ref.name, OciCatalogue(ref, resolve, spool), spool)
        case S3Ref():
            bucket = open_bucket(ref.bucket, ref.aws, resolve)
            return RemoteRegistry(ref.name, S3Catalogue(bucket, ref.prefix), spool)
        case HuggingFaceRef():
            web = _web(ref.name, ref.url, ref.login, ref.ca_file, resolve)
            return RemoteRegistry(ref.name, HuggingFaceCatalogue(web), spool)
        case _:
            assert_never(ref)


def _web(name: str, url: str, login: Login | None, ca_file: str | None, resolve: Resolve) -> Web:
    return Web(
        url,
        header=header_of(login, resolve),
        ca_file=ca_file,
        login_hint=hint_of(name, login),
    )


def _no_secrets(reference: SecretRef) -> Secret:
    raise UsageError(f"The secret {reference} cannot be resolved here.")
