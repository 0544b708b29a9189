"""The contract that every registry keeps; a new kind is added to `KINDS` and must pass all of it.

The servers are the real ones where there is one: MLflow, moto (S3 and SageMaker), Debian's docker-registry. They
are started once, and say in a skip what is missing. Hugging Face is played by a server of these tests.
"""

import hashlib

import pytest
from support import registry_kinds as kinds
from support.modelserver import a_server
from support.peers import mlflow_server, moto_server, oci_registry
from support.registry_kinds import FILES, VERSIONS

from edgeform.domain.artifacts import VersionRule
from edgeform.errors import Corrupt
from edgeform.registry.base import (
    RegistryFailed,
    ResolvedVersion,
    SourceFile,
    SourceRefused,
    VersionNotFound,
    fetch,
)

pytestmark = pytest.mark.timeout(900)
KINDS = (
    "directory",
    "http",
    "s3",
    "sagemaker",
    "mlflow",
    pytest.param("mlflow_s3", marks=pytest.mark.slow),
    "oci",
    "huggingface",
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registries")


@pytest.fixture(scope="session")
def moto(folder):
    with moto_server(folder) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_url(folder):
    with mlflow_server(folder) as url:
        yield url


@pytest.fixture(scope="session")
def published_directory(folder):
    return kinds.directory(folder)


@pytest.fixture(scope="session")
def published_http():
    with a_server() as server:
        yield kinds.http(server)


@pytest.fixture(scope="session")
def published_s3(moto):
    return kinds.s3(moto)


@pytest.fixture(scope="session")
def published_sagemaker(moto):
    return kinds.sagemaker(moto)


@pytest.fixture(scope="session")
def published_mlflow(mlflow_url):
    return kinds.mlflow(mlflow_url)


@pytest.fixture(scope="session")
def published_mlflow_s3(mlflow_url, moto):
    return kinds.mlflow(mlflow_url, moto)


@pytest.fixture(scope="session")
def published_oci(folder):
    with oci_registry(folder) as host:
        yield kinds.oci(host, folder / "pushed")


@pytest.fixture(scope="session")
def published_huggingface():
    with a_server() as server:
        yield kinds.huggingface(server)


@pytest.fixture(params=KINDS)
def published(request):
    return request.getfixturevalue(f"published_{request.param}")


@pytest.fixture
def digits(published):
    return "s3-digits" if published.other.startswith("s3-") else "digits"


@pytest.fixture
def registry(published, tmp_path):
    return published.open(tmp_path)


@pytest.mark.parametrize(
    ("rule", "wanted", "version"),
    [
        (VersionRule.EXACT, "1.2.0", "1.2.0"),
        (VersionRule.EXACT, "2.0.0-rc.1", "2.0.0-rc.1"),
        (VersionRule.ALIAS, "stable", "1.2.0"),
        (VersionRule.SEMVER, "^1.0", "1.10.0"),
        (VersionRule.SEMVER, "~1.2", "1.2.0"),
        (VersionRule.SEMVER, ">=1.0, <1.5", "1.2.0"),
        (VersionRule.SEMVER, "*", "2.0.0"),
        (VersionRule.CHANNEL, "latest", "2.0.0"),
    ],
)
def test_a_rule_means_one_version(registry, published, digits, rule, wanted, version):
    if rule is VersionRule.ALIAS and not published.has_aliases:
        with pytest.raises(VersionNotFound, match="has no aliases"):
            registry.resolve(digits, rule, wanted)
        return
    asked = published.names[wanted] if rule is VersionRule.EXACT else wanted
    assert registry.resolve(digits, rule, asked).version == published.names[version]


def test_latest_approved_is_the_newest_that_somebody_approved(registry, published, digits):
    if not published.has_approvals:
        with pytest.raises(VersionNotFound, match="records no approvals"):
            registry.resolve(digits, VersionRule.CHANNEL, "latest-approved")
        return
    found = registry.resolve(digits, VersionRule.CHANNEL, "latest-approved")
    assert found.version == published.names["1.2.0"]


def test_models_and_versions_are_listed(registry, published, digits):
    if published.can_list:
        assert {digits, published.other} <= set(registry.models())
    else:
        with pytest.raises(SourceRefused):
            registry.models()
    listing = registry.listing(digits)
    assert set(listing.names()) == set(published.names.values())
    by_semver = {known.semver: known for known in listing.versions}
    assert set(by_semver) == set(VERSIONS)
    assert not by_semver["2.0.0-rc.1"].is_released
    if published.has_aliases:
        assert dict(listing.aliases)["stable"] == published.names["1.2.0"]


def test_a_version_is_found_again_by_its_digest(registry, published, digits):
    known = registry.resolve(digits, VersionRule.EXACT, published.names["1.2.0"])
    assert registry.resolve(digits, VersionRule.DIGEST, known.digest) == known


def test_every_file_is_listed_with_its_size_and_digest_in_order(registry, published, digits):
    found = registry.resolve(digits, VersionRule.EXACT, published.names["1.0.0"])
    assert [f.path for f in found.files] == sorted(FILES)
    for file in found.files:
        content = FILES[file.path]
        assert file.size_bytes == len(content)
        assert file.digest == "sha256:" + hashlib.sha256(content).hexdigest()


def test_versions_with_the_same_files_have_the_same_digest_and_others_have_not(
    registry, published, digits
):
    digests = [
        registry.resolve(digits, VersionRule.EXACT, published.names[v]).digest for v in VERSIONS
    ]
    assert len(set(digests)) == len(VERSIONS)
    other = registry.resolve(published.other, VersionRule.EXACT, published.other_version)
    assert other.digest == digests[0]


@pytest.mark.parametrize(
    ("source", "rule", "wanted"),
    [
        ("digits", VersionRule.EXACT, "3.0.0"),
        ("digits", VersionRule.ALIAS, "unknown"),
        ("digits", VersionRule.ALIAS, "gone"),
        ("digits", VersionRule.SEMVER, "^3"),
        ("digits", VersionRule.SEMVER, "nonsense"),
        ("digits", VersionRule.DIGEST, "sha256:" + "0" * 64),
        ("nothing", VersionRule.EXACT, "1.0.0"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(registry, digits, source, rule, wanted):
    source = digits if source == "digits" else source
    with pytest.raises(VersionNotFound) as caught:
        registry.resolve(source, rule, wanted)
    assert caught.value.exit_code == 3
    assert caught.value.detail


def test_fetching_gives_exactly_the_files(registry, published, digits, tmp_path):
    resolved = registry.resolve(digits, VersionRule.EXACT, published.names["1.2.0"])
    folder = fetch(registry, resolved, tmp_path / "out")
    found = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    assert found == VERSIONS["1.2.0"]


def test_bytes_that_changed_since_are_refused_and_nothing_is_left(
    registry, published, digits, tmp_path
):
    resolved = registry.resolve(digits, VersionRule.EXACT, published.names["1.0.0"])
    lying = [
        SourceFile(path=f.path, size_bytes=f.size_bytes, digest="sha256:" + "0" * 64)
        for f in resolved.files
    ]
    with pytest.raises(Corrupt):
        fetch(
            registry,
            ResolvedVersion(source=digits, version=resolved.version, files=tuple(lying)),
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_mlflow_artifacts_in_s3_come_from_there(published_mlflow_s3, tmp_path):
    registry = published_mlflow_s3.open(tmp_path)
    resolved = registry.resolve("s3-digits", VersionRule.ALIAS, "stable")
    folder = fetch(registry, resolved, tmp_path / "out")
    assert (folder / "labels.txt").read_bytes() == VERSIONS["1.2.0"]["labels.txt"]


@pytest.mark.parametrize("kind", ["mlflow", "oci"])
def test_a_wrong_password_is_refused_by_the_real_server_and_named_by_its_reference(
    request, monkeypatch, tmp_path, kind
):
    registry = request.getfixturevalue(f"published_{kind}").open(tmp_path)
    monkeypatch.setitem(kinds.SECRETS, "P", "not this one")
    with pytest.raises(RegistryFailed) as caught:
        registry.listing("digits")
    said = caught.value.rendered()
    assert "401" in said
    assert "env/P" in said
    assert "not this one" not in said
