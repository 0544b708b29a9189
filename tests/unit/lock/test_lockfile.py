"""The lock file: what is written is read again; what is damaged is named with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeform.diagnostics import rendered as shown
from edgeform.domain.artifacts import LockedArtifact, LockedFile, LockedSource, VersionRule
from edgeform.errors import SpecInvalid
from edgeform.lock import codes
from edgeform.lock.lockfile import lock_of, read, read_text, rendered, write
from edgeform_wire import canonical

D = "sha256:" + "a" * 64


def a_source(**changed):
    return LockedSource(
        **{
            "model": "digits",
            "registry": "local",
            "source": "digits",
            "rule": VersionRule.SEMVER,
            "wanted": "^1.0",
            "version": "1.0.0",
            "digest": D,
        }
        | changed
    )


def an_artifact(**changed):
    return LockedArtifact(
        **{
            "digest": D,
            "kind": "model",
            "name": "digits",
            "version": "1.0.0",
            "variant": "f32",
            "epoch": 0,
            "size_bytes": 1234,
            "engine": "onnxruntime",
            "requires": (("arch", "x86_64"),),
            "measures": (("accuracy", 0.97),),
        }
        | changed
    )


def test_a_lock_is_read_as_it_was_written(tmp_path):
    lock = lock_of([a_source()], [an_artifact(), an_artifact(kind="runtime", digest=D[:-1] + "b")])
    write(tmp_path / "edgeform.lock", lock)
    assert read(tmp_path / "edgeform.lock").checked() == lock
    assert lock.version_of("digits") == "1.0.0"


def test_only_half_precision_is_told_so_that_older_locks_keep_their_digests(tmp_path):
    half = lock_of([a_source()], [an_artifact(precision="f16")])
    write(tmp_path / "edgeform.lock", half)
    assert read(tmp_path / "edgeform.lock").checked() == half
    assert "precision" not in rendered(lock_of([a_source()], [an_artifact()]))


def test_the_files_of_a_version_are_locked_one_by_one(tmp_path):
    files = (
        LockedFile(path="golden/index.json", size_bytes=2, digest=D),
        LockedFile(path="model.onnx", size_bytes=1998, digest=D[:-1] + "b"),
    )
    lock = lock_of([a_source(files=files)], [])
    write(tmp_path / "edgeform.lock", lock)
    assert read(tmp_path / "edgeform.lock").checked().sources[0].files == files


def test_a_lock_without_files_is_read_and_written_as_before():
    lock = lock_of([a_source()], [])
    assert '"files"' not in rendered(lock)
    assert read_text(rendered(lock).encode(), "x").checked().sources[0].files == ()


def test_one_line_stands_for_one_entry_and_order_does_not_matter():
    entries = [
        an_artifact(name=n, digest=D[:-1] + d) for n, d in (("b", "1"), ("a", "2"), ("c", "3"))
    ]
    text = rendered(lock_of([a_source(model="z"), a_source(model="y")], entries))
    assert text == rendered(lock_of([a_source(model="y"), a_source(model="z")], entries[::-1]))
    lines = text.splitlines()
    assert [json.loads(line.rstrip(","))["model"] for line in lines[3:5]] == ["y", "z"]
    assert [json.loads(line.rstrip(","))["name"] for line in lines[7:10]] == ["a", "b", "c"]


def test_the_digest_is_that_of_the_canonical_json():
    lock = lock_of([a_source()], [an_artifact()])
    assert lock.digest == canonical.digest_of(json.loads(rendered(lock)))


def test_an_empty_lock_is_a_lock():
    lock = lock_of([], [])
    assert read_text(rendered(lock).encode(), "edgeform.lock").checked() == lock


def test_a_missing_lock_says_how_to_make_one(tmp_path):
    found = read(tmp_path / "edgeform.lock")
    assert [d.code for d in found.diagnostics] == [codes.MISSING.code]
    assert "edgeform lock" in found.diagnostics[0].hint
    with pytest.raises(SpecInvalid):
        found.checked()


TEXT = rendered(lock_of([a_source()], [an_artifact()]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut", TEXT[: len(TEXT) // 2]),
        ("empty", ""),
        ("list", "[]"),
        ("conflict", TEXT.replace('"artifacts"', '<<<<<<< HEAD\n"artifacts"')),
        ("other-schema", TEXT.replace("edgeform.lock/1", "edgeform.lock/9")),
        ("missing-field", TEXT.replace('"variant":"f32",', "")),
        ("unknown-field", TEXT.replace('"variant":"f32"', '"variant":"f32","extra":1')),
        ("bad-digest", TEXT.replace(D, "sha256:abc", 1)),
        ("negative-size", TEXT.replace("1234", "-1")),
        ("path-as-version", TEXT.replace('"version":"1.0.0"', '"version":"../x"')),
        ("twice", TEXT.replace('"models":[\n', '"models":[\n' + TEXT.splitlines()[3] + ",\n")),
        ("duplicate-key", TEXT.replace('"schema"', '"schema":"x",\n"schema"')),
        ("nan", TEXT.replace("0.97", "NaN")),
    ],
)
def test_a_damaged_lock_is_named_with_its_place(name, content, golden):
    found = read_text(content.encode(), "edgeform.lock")
    assert found.lock is None
    golden(f"lock/{name}.txt", "\n\n".join(shown(d) for d in found.diagnostics) + "\n")


@given(
    st.integers(0, len(TEXT)),
    st.integers(0, len(TEXT)),
    st.sampled_from(["", "{", '"', "0", "\n", "é", "\x00"]),
)
def test_a_lock_changed_anywhere_never_raises(start, length, put):
    changed = TEXT[:start] + put + TEXT[start + length :]
    found = read_text(changed.encode(), "edgeform.lock")
    assert (found.lock is None) == bool(found.diagnostics)


@given(st.binary(max_size=100))
def test_any_bytes_never_raise(content):
    assert read_text(content, "edgeform.lock").lock is None
