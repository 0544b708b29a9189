"""The contract that every registry keeps; a new kind is added to `KINDS` and must pass all of it."""

import hashlib

import pytest
from support.registry import a_registry, aliases

from edgeform.domain.artifacts import VersionRule
from edgeform.errors import Corrupt
from edgeform.registry.base import ResolvedVersion, SourceFile, VersionNotFound, fetch
from edgeform.registry.directory import DirectoryRegistry

FILES = {"model.onnx": b"\x08\x07" * 999, "golden/index.json": b"{}", "golden/a/0.bin": b""}
VERSIONS = {
    "1.0.0": FILES,
    "1.2.0": FILES | {"labels.txt": b"0\n1\n"},
    "1.10.0": FILES | {"labels.txt": b"zero\none\n"},
    "2.0.0-rc.1": FILES | {"rc": b"1"},
    "2.0.0": FILES | {"rc": b""},
}


def directory(folder):
    root = a_registry(folder / "models", {"digits": VERSIONS, "team/other": {"0.1.0": FILES}})
    aliases(root, "digits", stable="1.2.0", gone="9.9.9")
    return DirectoryRegistry(root)


KINDS = [directory]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def registry(request, tmp_path):
    return request.param(tmp_path)


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
def test_a_rule_means_one_version(registry, rule, wanted, version):
    assert registry.resolve("digits", rule, wanted).version == version


def test_a_version_is_found_again_by_its_digest(registry):
    known = registry.resolve("digits", VersionRule.EXACT, "1.2.0")
    assert registry.resolve("digits", VersionRule.DIGEST, known.digest) == known


def test_every_file_is_listed_with_its_size_and_digest_in_order(registry):
    found = registry.resolve("digits", VersionRule.EXACT, "1.0.0")
    assert [f.path for f in found.files] == sorted(FILES)
    for file in found.files:
        content = FILES[file.path]
        assert file.size_bytes == len(content)
        assert file.digest == "sha256:" + hashlib.sha256(content).hexdigest()


def test_versions_with_the_same_files_have_the_same_digest_and_others_have_not(registry):
    digests = [registry.resolve("digits", VersionRule.EXACT, v).digest for v in VERSIONS]
    assert len(set(digests)) == len(VERSIONS)
    other = registry.resolve("team/other", VersionRule.EXACT, "0.1.0")
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
def test_what_is_not_there_is_said_with_what_is(registry, source, rule, wanted):
    with pytest.raises(VersionNotFound) as caught:
        registry.resolve(source, rule, wanted)
    assert caught.value.exit_code == 3
    assert caught.value.detail


def test_fetching_gives_exactly_the_files(registry, tmp_path):
    resolved = registry.resolve("digits", VersionRule.EXACT, "1.2.0")
    folder = fetch(registry, resolved, tmp_path / "out")
    found = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    assert found == VERSIONS["1.2.0"]


def test_bytes_that_changed_since_are_refused_and_nothing_is_left(registry, tmp_path):
    resolved = registry.resolve("digits", VersionRule.EXACT, "1.0.0")
    lying = [
        SourceFile(path=f.path, size_bytes=f.size_bytes, digest="sha256:" + "0" * 64)
        for f in resolved.files
    ]
    with pytest.raises(Corrupt):
        fetch(
            registry,
            ResolvedVersion(source="digits", version="1.0.0", files=tuple(lying)),
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()
