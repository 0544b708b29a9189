"""The directory registry refuses what could lead out of its folder or is not the file itself."""

import os

import pytest
from support.registry import a_registry, aliases

from edgeform.domain.artifacts import VersionRule
from edgeform.registry.base import RegistryFailed, SourceRefused, VersionNotFound
from edgeform.registry.directory import DirectoryRegistry


@pytest.fixture
def root(tmp_path):
    return a_registry(tmp_path / "models", {"digits": {"1.0.0": {"model.onnx": b"x"}}})


def resolve(root, source="digits", rule=VersionRule.EXACT, wanted="1.0.0"):
    return DirectoryRegistry(root).resolve(source, rule, wanted)


def test_git_lfs_pointers_are_refused(root):
    (root / "digits" / "1.0.0" / "model.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n"
    )
    with pytest.raises(SourceRefused, match="git-lfs"):
        resolve(root)


@pytest.mark.parametrize("target", ["/etc/passwd", "model.onnx", "../1.0.0"])
def test_links_are_refused(root, target):
    (root / "digits" / "1.0.0" / "link").symlink_to(target)
    with pytest.raises(SourceRefused, match="link"):
        resolve(root)


def test_a_linked_version_and_a_linked_model_are_not_seen(root):
    (root / "digits" / "2.0.0").symlink_to("1.0.0")
    (root / "other").symlink_to("digits")
    with pytest.raises(VersionNotFound):
        resolve(root, wanted="2.0.0")
    with pytest.raises(VersionNotFound):
        resolve(root, source="other")


def test_pipes_and_sockets_are_refused(root):
    os.mkfifo(root / "digits" / "1.0.0" / "pipe")
    with pytest.raises(SourceRefused, match="no plain file"):
        resolve(root)


@pytest.mark.parametrize("name", ["a b", "ü", "a:b"])
def test_names_that_no_artifact_can_hold_are_refused(root, name):
    (root / "digits" / "1.0.0" / name).write_text("x")
    with pytest.raises(SourceRefused):
        resolve(root)


def test_names_that_collide_where_case_is_lost_are_refused(root):
    (root / "digits" / "1.0.0" / "MODEL.onnx").write_text("x")
    with pytest.raises(SourceRefused):
        resolve(root)


@pytest.mark.parametrize(
    "source", ["..", "../models/digits", "/etc", "digits/../digits", "a//b", ""]
)
def test_a_source_never_leads_out_of_the_folder(root, source):
    with pytest.raises((SourceRefused, VersionNotFound)):
        resolve(root, source=source)


@pytest.mark.parametrize("wanted", ["..", "../digits/1.0.0", ".", "", "1.0.0/"])
def test_a_version_never_leads_out_of_the_folder(root, wanted):
    with pytest.raises(VersionNotFound):
        resolve(root, wanted=wanted)


def test_an_alias_never_leads_out_of_the_folder(root):
    aliases(root, "digits", bad="../../models/digits/1.0.0")
    with pytest.raises(VersionNotFound):
        resolve(root, rule=VersionRule.ALIAS, wanted="bad")


@pytest.mark.parametrize("content", ["[", "[1]", '{"a": 1}'])
def test_damaged_aliases_are_named(root, content):
    (root / "digits" / "aliases.json").write_text(content)
    with pytest.raises(RegistryFailed) as caught:
        resolve(root, rule=VersionRule.ALIAS, wanted="a")
    assert "aliases.json" in caught.value.address


def test_a_missing_folder_is_a_failed_registry(tmp_path):
    with pytest.raises(RegistryFailed) as caught:
        resolve(tmp_path / "nowhere")
    assert caught.value.exit_code == 13


def test_an_empty_version_is_refused(root):
    (root / "digits" / "2.0.0").mkdir()
    with pytest.raises(SourceRefused, match="empty"):
        resolve(root, wanted="2.0.0")


def test_a_folder_records_no_approvals_and_says_so(root):
    with pytest.raises(VersionNotFound, match="approvals"):
        resolve(root, rule=VersionRule.CHANNEL, wanted="latest-approved")


def test_latest_is_a_release_not_a_folder_with_another_name(root):
    a_registry(
        root, {"digits": {"2.0.0-beta": {"m": b"x"}, "newest": {"m": b"x"}, "1.0.1": {"m": b"x"}}}
    )
    assert resolve(root, rule=VersionRule.CHANNEL, wanted="latest").version == "1.0.1"
