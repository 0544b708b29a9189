"""boto3 for the registries that need it: imported late, bounded, its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgeform.domain.registries import AwsAccess
from edgeform.domain.site import SecretRef
from edgeform.errors import UsageError
from edgeform.registry.addresses import check_is_private
from edgeform.registry.base import RegistryFailed
from edgeform.registry.credentials import Resolve, text_of
from edgeform.registry.web import CONNECT_S, SILENCE_S, NotThere

ATTEMPTS = 3
_MISSING = ("404", "NoSuchKey", "NoSuchBucket", "ResourceNotFound", "ValidationException")
_REFUSED = (
    "401",
    "403",
    "AccessDenied",
    "AccessDeniedException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
)


def client_of(
    service: str, access: AwsAccess, resolve: Resolve
) -> Any:  # boto3 makes its classes at run time
    """A client of an AWS service.

    Raises:
        UsageError: boto3 is not installed.
        NotTrusted: keys would sign requests that cross the network in the clear.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra, and half a second
        from botocore.config import Config  # noqa: PLC0415 - the same
    except ImportError as exc:
        raise UsageError(
            "Models in S3 and SageMaker are read with boto3, which is not installed.",
            hint='Install it with\n    pip install "edgeform[aws]"',
        ) from exc
    if access.endpoint_url is not None:
        check_is_private(access.endpoint_url)
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=SILENCE_S,
        retries={"max_attempts": ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path"} if access.endpoint_url else {},
    )
    return boto3.session.Session().client(
        service,
        region_name=access.region,
        endpoint_url=access.endpoint_url,
        verify=access.ca_file or True,
        config=config,
        **_keys(access, resolve),
    )


def _keys(access: AwsAccess, resolve: Resolve) -> dict[str, str]:
    named: dict[str, SecretRef | None] = {
        "aws_access_key_id": access.access_key_id,
        "aws_secret_access_key": access.secret_access_key,
        "aws_session_token": access.session_token,
    }
    return {key: text_of(resolve(ref)) for key, ref in named.items() if ref is not None}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of boto3 as ours.

    Raises:
        NotThere: no such bucket, key or group.
        RegistryFailed: everything else.
    """
    from botocore import exceptions  # noqa: PLC0415 - whoever is here has a client

    try:
        yield
    except exceptions.ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        status = str(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        if {code, status} & set(_REFUSED):
            raise RegistryFailed(
                f"It refuses the request ({code}).",
                address=where,
                hint="Check the keys of the registry, or the role that this machine has.",
            ) from exc
        if {code, status} & set(_MISSING):
            raise NotThere(f"There is nothing ({code}).", address=where) from exc
        raise RegistryFailed(
            f"It answers {code} ({status}).", address=where, hint="Run the command again later."
        ) from exc
    except exceptions.NoCredentialsError as exc:
        raise RegistryFailed(
            "There are no credentials.",
            address=where,
            hint="Set `access_key_id` and `secret_access_key` of the registry, or AWS's own variables.",
        ) from exc
    except exceptions.NoRegionError as exc:
        raise RegistryFailed(
            "No region is set.", address=where, hint="Set `region` of the registry."
        ) from exc
    except exceptions.SSLError as exc:
        raise RegistryFailed(
            "Its certificate is not trusted.",
            address=where,
            hint="For a private authority, set `ca_file` of the registry.",
        ) from exc
    except exceptions.BotoCoreError as exc:
        raise RegistryFailed(f"It cannot be read ({type(exc).__name__}).", address=where) from exc
