"""Where models come from, as the site says it: one value for each kind of registry, secrets as references."""

from dataclasses import dataclass

from edgeform.domain.site import SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicLogin:
    """HTTP Basic."""

    user: str
    password: SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """HTTP Bearer."""

    token: SecretRef


Login = BasicLogin | TokenLogin


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAccess:
    """How boto3 reaches a service; without keys it looks where it always looks (environment, profile, role).

    Args:
        endpoint_url: of a service that is not Amazon's.
    """

    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: SecretRef | None = None
    secret_access_key: SecretRef | None = None
    session_token: SecretRef | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRef:
    """A folder, `<path>/<model>/<version>/...`."""

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRef:
    """A web server with an index of models, or with plain files that the site names by digest."""

    name: str
    url: str
    login: Login | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowRef:
    """An MLflow tracking server. A version is approved where the tag says so."""

    name: str
    url: str
    login: Login | None = None
    ca_file: str | None = None
    aws: AwsAccess = AwsAccess()
    approved_tag: str = "validation_status"
    approved_value: str = "approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class SagemakerRef:
    """SageMaker's model registry."""

    name: str
    aws: AwsAccess = AwsAccess()


@dataclass(frozen=True, slots=True, kw_only=True)
class OciRef:
    """An OCI registry; `prefix` stands before every repository.

    Args:
        token_url: where a login may be sent for a token, if that is another host than the registry.
    """

    name: str
    url: str
    prefix: str = ""
    login: Login | None = None
    token_url: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Ref:
    """A bucket laid out like a folder."""

    name: str
    bucket: str
    prefix: str = ""
    aws: AwsAccess = AwsAccess()


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFaceRef:
    """A Hugging Face hub; versions are commits."""

    name: str
    url: str = "https://huggingface.co"
    login: Login | None = None
    ca_file: str | None = None


RegistryRef = DirectoryRef | HttpRef | MlflowRef | SagemakerRef | OciRef | S3Ref | HuggingFaceRef
