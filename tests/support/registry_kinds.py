"""The same models, published in every kind of registry by other people's means; edgeform only reads."""

import hashlib
import io
import json
import tarfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import requests
from support.modelserver import Answer, ranged
from support.peers import PASSWORD, USER
from support.registry import a_registry, aliases

from edgeform.domain.registries import (
    AwsAccess,
    BasicLogin,
    DirectoryRef,
    HttpRef,
    HuggingFaceRef,
    MlflowRef,
    OciRef,
    S3Ref,
    SagemakerRef,
)
from edgeform.domain.site import SecretRef
from edgeform.registry.open import opened
from edgeform.secrets.value import SecretValue

FILES = {"model.onnx": b"\x08\x07" * 999, "golden/index.json": b"{}", "golden/a/0.bin": b""}
VERSIONS = {
    "1.0.0": FILES,
    "1.2.0": FILES | {"labels.txt": b"0\n1\n"},
    "1.10.0": FILES | {"labels.txt": b"zero\none\n"},
    "2.0.0-rc.1": FILES | {"rc": b"1"},
    "2.0.0": FILES | {"rc": b""},
}
OTHER = "team/other"
APPROVED = "1.2.0"
SECRETS = {"P": PASSWORD, "K": "key-id", "S": "secret-key"}
AWS = {"access_key_id": SecretRef(provider="env", path="K"), "region": "us-east-1"}
LOGIN = BasicLogin(user=USER, password=SecretRef(provider="env", path="P"))


def secret(reference):
    return SecretValue(SECRETS[reference.path].encode())


@dataclass
class Published:
    """A registry with the models in it: `names` says what its versions are called there."""

    ref: object
    names: dict[str, str] = field(default_factory=lambda: {v: v for v in VERSIONS})
    other: str = OTHER
    other_version: str = "0.1.0"
    has_aliases: bool = True
    has_approvals: bool = True
    can_list: bool = True

    def open(self, folder: Path):
        return opened(self.ref, secret, folder / "downloads")


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def directory(folder: Path) -> Published:
    root = a_registry(folder / "models", {"digits": VERSIONS, OTHER: {"0.1.0": FILES}})
    aliases(root, "digits", stable="1.2.0", gone="9.9.9")
    return Published(DirectoryRef(name="local", path=str(root)), has_approvals=False)


def http(server) -> Published:
    """An index as docs/reference/http-index.md describes it."""
    publish(server, "digits", VERSIONS, {"stable": "1.2.0", "gone": "9.9.9"})
    publish(server, OTHER, {"0.1.0": FILES}, {})
    models = {"schema": "edgeform.models/1", "models": ["digits", OTHER]}
    server.files["/edge/index.json"] = json.dumps(models).encode()
    return Published(HttpRef(name="web", url=f"{server.url}/edge"))


def publish(server, model, versions, known, base="/edge"):
    described = {}
    for version, files in versions.items():
        for path, content in files.items():
            server.files[f"{base}/{model}/{version}/{path}"] = content
        listed = [{"path": p, "size_bytes": len(c), "digest": digest(c)} for p, c in files.items()]
        described[version] = {"files": listed, "approved": version == APPROVED}
    index = {"schema": "edgeform.model-index/1", "aliases": known, "versions": described}
    server.files[f"{base}/{model}/index.json"] = json.dumps(index).encode()


def bucket_of(moto: str, name: str):
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=moto,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    client.create_bucket(Bucket=name)
    return client


def access(moto: str) -> AwsAccess:
    return AwsAccess(
        endpoint_url=moto, secret_access_key=SecretRef(provider="env", path="S"), **AWS
    )


def s3(moto: str) -> Published:
    client = bucket_of(moto, "edge-models")
    for model, versions in (("digits", VERSIONS), (OTHER, {"0.1.0": FILES})):
        for version, files in versions.items():
            for path, content in files.items():
                key = f"prod/{model}/{version}/{path}"
                client.put_object(Bucket="edge-models", Key=key, Body=content)
    known = json.dumps({"stable": "1.2.0", "gone": "9.9.9"}).encode()
    client.put_object(Bucket="edge-models", Key="prod/digits/aliases.json", Body=known)
    ref = S3Ref(name="bucket", bucket="edge-models", prefix="prod", aws=access(moto))
    return Published(ref, has_approvals=False)


def sagemaker(moto: str) -> Published:
    """Versions as SageMaker has them: a model.tar.gz each, numbered from 1."""
    import boto3

    store = bucket_of(moto, "sm-models")
    client = boto3.client(
        "sagemaker",
        endpoint_url=moto,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    names = {}
    for group, versions in (("digits", VERSIONS), ("other", {"0.1.0": FILES})):
        client.create_model_package_group(ModelPackageGroupName=group)
        for number, (version, files) in enumerate(versions.items(), start=1):
            key = f"{group}/{number}/model.tar.gz"
            store.put_object(Bucket="sm-models", Key=key, Body=packed(files))
            client.create_model_package(
                ModelPackageGroupName=group,
                ModelApprovalStatus="Approved" if version == APPROVED else "PendingManualApproval",
                CustomerMetadataProperties={"version": version},
                InferenceSpecification={
                    "Containers": [{"Image": "x", "ModelDataUrl": f"s3://sm-models/{key}"}],
                    "SupportedContentTypes": ["*"],
                    "SupportedResponseMIMETypes": ["*"],
                },
            )
            if group == "digits":
                names[version] = str(number)
    ref = SagemakerRef(name="cloud", aws=access(moto))
    return Published(ref, names=names, other="other", other_version="1", has_aliases=False)


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"./{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def mlflow(url: str, moto: str = "") -> Published:
    """Registered over MLflow's own API; artifacts through the server, or in S3 where `moto` is given."""
    prefix = "s3-" if moto else ""
    names = {}
    for model, versions in ((f"{prefix}digits", VERSIONS), (f"{prefix}other", {"0.1.0": FILES})):
        call(url, "registered-models/create", name=model)
        for version, files in versions.items():
            where = {"source": _in_s3(moto, model, version, files)} if moto else _run(url, files)
            made = call(
                url,
                "model-versions/create",
                name=model,
                **where,
                tags=[
                    {"key": "version", "value": version},
                    {
                        "key": "validation_status",
                        "value": "approved" if version == APPROVED else "pending",
                    },
                ],
            )
            if model.endswith("digits"):
                names[version] = made["model_version"]["version"]
    call(
        url,
        "registered-models/alias",
        name=f"{prefix}digits",
        alias="stable",
        version=names["1.2.0"],
    )
    ref = MlflowRef(name="team", url=url, login=LOGIN, aws=access(moto) if moto else AwsAccess())
    return Published(ref, names=names, other=f"{prefix}other", other_version="1")


def call(url: str, verb: str, **body):
    found = requests.post(
        f"{url}/api/2.0/mlflow/{verb}", json=body, auth=(USER, PASSWORD), timeout=60
    )
    assert found.status_code == 200, found.text
    return found.json()


def _run(url, files):
    """A run with the files as artifacts, put through the server."""
    name = f"e-{uuid.uuid4().hex}"
    experiment = call(url, "experiments/create", name=name)["experiment_id"]
    info = call(url, "runs/create", experiment_id=experiment)["run"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path, content in files.items():
        found = requests.put(
            f"{url}/api/2.0/mlflow-artifacts/artifacts/{quote(f'{root}/model/{path}')}",
            data=content,
            auth=(USER, PASSWORD),
            timeout=60,
        )
        assert found.status_code == 200, found.text
    return {"source": f"{info['artifact_uri']}/model", "run_id": info["run_id"]}


def _in_s3(moto, model, version, files):
    client = bucket_of(moto, "mlflow-models")
    for path, content in files.items():
        client.put_object(Bucket="mlflow-models", Key=f"{model}/{version}/{path}", Body=content)
    return f"s3://mlflow-models/{model}/{version}"


def oci(host: str, folder: Path) -> Published:
    """Pushed with oras: a layer for each file, an archive for each folder."""
    import oras.client

    client = oras.client.OrasClient(hostname=host, insecure=True, auth_backend="basic")
    client.auth.set_basic_auth(USER, PASSWORD)
    for model, versions in (("digits", VERSIONS), (OTHER, {"0.1.0": FILES})):
        for version, files in versions.items():
            push(client, f"{host}/prod/{model}:{version}", files, folder / model / version)
            if (model, version) == ("digits", "1.2.0"):
                push(client, f"{host}/prod/{model}:stable", files, folder / model / version)
    ref = OciRef(name="images", url=f"http://{host}", prefix="prod", login=LOGIN)
    return Published(ref, has_approvals=False)


def push(client, target, files, folder):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    pushed = [str(p) for p in sorted(folder.iterdir())]
    done = client.push(target=target, files=pushed, disable_path_validation=True, quiet=True)
    assert done.status_code in (200, 201)


def huggingface(server) -> Published:
    """A server that plays the hub, by https://huggingface.co/docs/hub/api: no hub can be reached here."""
    names = {v: hashlib.sha256(v.encode()).hexdigest()[:40] for v in (*VERSIONS, "0.1.0")}
    for repo, versions in (("digits", VERSIONS), (OTHER, {"0.1.0": FILES})):
        tags = [
            {"name": f"v{v}", "ref": f"refs/tags/v{v}", "targetCommit": names[v]} for v in versions
        ]
        branches = [
            {"name": "main", "ref": "refs/heads/main", "targetCommit": names[next(iter(versions))]}
        ]
        if repo == "digits":
            tags.append(
                {"name": "stable", "ref": "refs/tags/stable", "targetCommit": names["1.2.0"]}
            )
        refs = {"tags": tags, "branches": branches, "converts": []}
        server.files[f"/api/models/{repo}/refs"] = json.dumps(refs).encode()
        for version, files in versions.items():
            commit = names[version]
            siblings = []
            for path, content in files.items():
                sibling = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
                if path.endswith(".onnx"):
                    sha256 = hashlib.sha256(content).hexdigest()
                    sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
                siblings.append(sibling)
                at = f"/cdn/{commit}/{path}"
                server.files[at] = content
                server.routes[f"/{repo}/resolve/{commit}/{path}"] = redirect(f"{server.url}{at}")
            found = {"id": repo, "sha": commit, "siblings": siblings}
            server.files[f"/api/models/{repo}/revision/{commit}"] = json.dumps(found).encode()
    ref = HuggingFaceRef(name="hub", url=server.url)
    other = names.pop("0.1.0")
    return Published(ref, names=names, other_version=other, has_approvals=False, can_list=False)


def redirect(to: str, status: int = 302):
    return lambda request: Answer(status=status, headers={"Location": to})


__all__ = ["FILES", "VERSIONS", "Published", "ranged"]
