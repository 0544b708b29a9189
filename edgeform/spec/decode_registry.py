"""Registries out of merged, expanded and proven values."""

from pathlib import Path

from edgeform.domain.registries import (
    AwsAccess,
    BasicLogin,
    DirectoryRef,
    HttpRef,
    HuggingFaceRef,
    Login,
    MlflowRef,
    OciRef,
    RegistryRef,
    S3Ref,
    SagemakerRef,
    TokenLogin,
)
from edgeform.spec.decode_device import file
from edgeform.spec.fields import Mapping, secret, text, text_or

HUB = "https://huggingface.co"


def registry(spec: Mapping, site_folder: Path) -> RegistryRef:
    """The registry of an entry; the schema has proven that its kind has these keys."""
    name, url = text_or(spec, "name", ""), text_or(spec, "url", "")
    login, ca_file = _login(spec), file(spec, "ca_file", site_folder)
    aws = _aws(spec, site_folder)
    match text_or(spec, "kind", ""):
        case "directory":
            return DirectoryRef(name=name, path=file(spec, "path", site_folder) or "")
        case "http":
            return HttpRef(name=name, url=url, login=login, ca_file=ca_file)
        case "mlflow":
            return MlflowRef(
                name=name,
                url=url,
                login=login,
                ca_file=ca_file,
                aws=aws,
                approved_tag=text_or(spec, "approved_tag", "validation_status"),
                approved_value=text_or(spec, "approved_value", "approved"),
            )
        case "sagemaker":
            return SagemakerRef(name=name, aws=aws)
        case "oci":
            return OciRef(
                name=name,
                url=url,
                prefix=text_or(spec, "prefix", "").strip("/"),
                login=login,
                token_url=text(spec, "token_url"),
                ca_file=ca_file,
            )
        case "s3":
            bucket, prefix = text_or(spec, "bucket", ""), text_or(spec, "prefix", "")
            return S3Ref(name=name, bucket=bucket, prefix=prefix.strip("/"), aws=aws)
        case "huggingface":
            return HuggingFaceRef(name=name, url=url or HUB, login=login, ca_file=ca_file)
        case kind:
            raise TypeError(f"the schema let {kind!r} through, and nobody decodes it")


def _login(spec: Mapping) -> Login | None:
    password, token = secret(spec, "password"), secret(spec, "token")
    if token is not None:
        return TokenLogin(token=token)
    if password is not None:
        return BasicLogin(user=text_or(spec, "user", ""), password=password)
    return None


def _aws(spec: Mapping, site_folder: Path) -> AwsAccess:
    return AwsAccess(
        region=text(spec, "region"),
        endpoint_url=text(spec, "endpoint_url"),
        access_key_id=secret(spec, "access_key_id"),
        secret_access_key=secret(spec, "secret_access_key"),
        session_token=secret(spec, "session_token"),
        ca_file=file(spec, "ca_file", site_folder),
    )
