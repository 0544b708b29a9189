import os
import random
import stat

import pytest
from support.device import MODEL_FILES, RUNTIME_FILES, a_model, a_prefix, an_artifact

from edgeform_device import trees
from edgeform_device.errors import Corrupt, Incomplete
from edgeform_device.store import STAMP_S

MODEL = a_model()
RUNTIME = an_artifact(RUNTIME_FILES, executable=["bin/run"])


@pytest.fixture
def device(tmp_path):
    made = a_prefix(tmp_path / "device")
    made.receive(*MODEL_FILES.values(), *RUNTIME_FILES.values())
    return made


def content_of(tree):
    return {
        os.path.relpath(os.path.join(where, name), tree): open(
            os.path.join(where, name), "rb"
        ).read()
        for where, _, files in os.walk(tree)
        for name in files
    }


@pytest.mark.parametrize(("artifact", "files"), [(MODEL, MODEL_FILES), (RUNTIME, RUNTIME_FILES)])
def test_a_tree_holds_exactly_the_files_of_the_manifest(device, artifact, files):
    tree = trees.build(device.store, artifact)
    assert content_of(tree) == files
    assert trees.damage_of(device.store, artifact, "full") == ()


def test_modes_are_read_only_and_executable_as_the_manifest_says(device):
    tree = trees.build(device.store, RUNTIME)
    modes = {p: stat.S_IMODE(os.stat(os.path.join(tree, p)).st_mode) for p in RUNTIME_FILES}
    assert modes == {"lib/engine/__init__.py": 0o444, "bin/run": 0o555}


def test_files_of_a_model_have_one_name_and_are_no_links(device):
    tree = trees.build(device.store, MODEL)
    for path in MODEL_FILES:
        status = os.lstat(os.path.join(tree, path))
        assert stat.S_ISREG(status.st_mode)
        assert status.st_nlink == 1


def test_files_of_a_closure_are_hard_links_to_their_blobs(device):
    tree = trees.build(device.store, RUNTIME)
    assert all(os.lstat(os.path.join(tree, path)).st_nlink == 2 for path in RUNTIME_FILES)


def test_a_blob_whose_file_lives_in_a_tree_is_still_in_the_store(device):
    trees.build(device.store, MODEL)
    for file in MODEL.files:
        assert device.store.is_intact(file.digest)
        assert os.readlink(device.layout.blob(file.digest)).startswith("../../../trees/")
    assert device.store.foreign() == []


def test_two_models_with_one_file_each_have_their_own(device):
    second = a_model({**MODEL_FILES, "labels.txt": b"zero\none\n"}, version="2.0")
    device.receive(b"zero\none\n")
    for artifact in (MODEL, second):
        tree = trees.build(device.store, artifact)
        assert os.lstat(os.path.join(tree, "model.onnx")).st_nlink == 1
        assert trees.damage_of(device.store, artifact, "full") == ()


def test_a_model_does_not_share_with_a_closure_in_either_order(device, tmp_path):
    shared = {"a": b"shared bytes"}
    for name, order in (("x", ("model", "runtime")), ("y", ("runtime", "model"))):
        other = a_prefix(tmp_path / name)
        other.receive(b"shared bytes")
        built = {}
        for kind in order:
            artifact = an_artifact(shared, kind=kind)
            built[kind] = os.path.join(trees.build(other.store, artifact), "a")
        assert os.lstat(built["model"]).st_nlink == 1
        assert not os.path.samefile(built["model"], built["runtime"])


def test_one_file_twice_in_a_model_is_two_files(device):
    twice = a_model({"a": b"same", "b": b"same"})
    device.receive(b"same")
    tree = trees.build(device.store, twice)
    assert [os.lstat(os.path.join(tree, n)).st_nlink for n in "ab"] == [1, 1]


def test_the_same_bytes_plain_and_executable_are_two_files(device):
    both = an_artifact({"plain": b"same", "run": b"same"}, executable=["run"])
    device.receive(b"same")
    tree = trees.build(device.store, both)
    assert [stat.S_IMODE(os.stat(os.path.join(tree, n)).st_mode) for n in ("plain", "run")] == [
        0o444,
        0o555,
    ]


def test_building_again_changes_nothing(device):
    tree = trees.build(device.store, MODEL)
    before = os.stat(os.path.join(tree, "model.onnx")).st_ino
    assert trees.build(device.store, MODEL) == tree
    assert os.stat(os.path.join(tree, "model.onnx")).st_ino == before


def test_missing_blobs_are_said_before_anything_is_made(device):
    wanted = a_model({"model.onnx": b"never sent"})
    with pytest.raises(Incomplete, match="1 blob"):
        trees.build(device.store, wanted)
    assert not os.path.exists(device.layout.trees_dir)


def test_a_rotten_blob_never_reaches_a_tree(device):
    file = RUNTIME.files[0]
    path = device.layout.blob(file.digest)
    os.chmod(path, 0o644)
    with open(path, "r+b") as stream:
        stream.write(b"?")
    os.chmod(path, 0o444)
    os.utime(path, (STAMP_S, STAMP_S))
    with pytest.raises(Corrupt):
        trees.build(device.store, RUNTIME)
    assert not os.path.exists(device.layout.tree(RUNTIME.digest))
    assert not device.store.has(file.digest)
    device.receive(*RUNTIME_FILES.values())
    trees.build(device.store, RUNTIME)
    assert trees.damage_of(device.store, RUNTIME, "full") == ()


def edit(tree, path, content):
    full = os.path.join(tree, path)
    os.chmod(full, 0o644)
    with open(full, "wb") as stream:
        stream.write(content)


def test_an_edited_file_is_named_at_a_glance_with_both_digests(device):
    tree = trees.build(device.store, MODEL)
    edit(tree, "labels.txt", b"1\n0\n")
    (damage,) = trees.damage_of(device.store, MODEL, "sample", random.Random(1))
    assert damage.path == "labels.txt"
    assert damage.expected == next(f.digest for f in MODEL.files if f.path == "labels.txt")
    assert damage.actual.startswith("sha256:")


def test_absent_and_foreign_files_are_named(device):
    tree = trees.build(device.store, RUNTIME)
    os.unlink(os.path.join(tree, "bin/run"))
    with open(os.path.join(tree, "lib/sitecustomize.py"), "w"):
        pass
    os.symlink("/etc", os.path.join(tree, "lib/etc"))
    found = {(d.path, d.actual) for d in trees.damage_of(device.store, RUNTIME, "sample")}
    assert found == {
        ("bin/run", "absent"),
        ("lib/sitecustomize.py", "foreign"),
        ("lib/etc", "foreign"),
    }


def test_a_hidden_change_is_found_by_a_full_comparison(device):
    tree = trees.build(device.store, MODEL)
    full = os.path.join(tree, "model.onnx")
    edit(tree, "model.onnx", b"Weights" + b"weights" * 3999)
    os.chmod(full, 0o444)
    os.utime(full, (STAMP_S, STAMP_S))
    assert [d.path for d in trees.damage_of(device.store, MODEL, "full")] == ["model.onnx"]
    with pytest.raises(Corrupt, match="damaged"):
        trees.require_sound(device.store, MODEL)


@pytest.mark.parametrize("artifact", [MODEL, RUNTIME], ids=["model", "runtime"])
def test_a_damaged_tree_is_mended_in_place_from_bytes_sent_again(device, artifact):
    tree = trees.build(device.store, artifact)
    victim = artifact.files[0]
    os.unlink(os.path.join(tree, victim.path))
    with open(os.path.join(tree, "foreign"), "w"):
        pass
    inode = os.stat(tree).st_ino
    device.receive(*MODEL_FILES.values(), *RUNTIME_FILES.values())
    trees.build(device.store, artifact)
    assert trees.damage_of(device.store, artifact, "full") == ()
    assert os.stat(tree).st_ino == inode
    if artifact.kind == "model":
        assert os.lstat(os.path.join(tree, victim.path)).st_nlink == 1


def test_a_changed_mode_is_mended_without_new_bytes(device):
    tree = trees.build(device.store, MODEL)
    os.chmod(os.path.join(tree, "model.onnx"), 0o644)
    trees.build(device.store, MODEL)
    assert trees.damage_of(device.store, MODEL, "full") == ()


def test_a_cut_after_the_tree_appeared_is_finished_by_building_again(device, monkeypatch):
    monkeypatch.setattr(trees, "_leave_only_the_tree", lambda *a: None)
    tree = trees.build(device.store, MODEL)
    assert os.lstat(os.path.join(tree, "model.onnx")).st_nlink == 2
    monkeypatch.undo()
    trees.build(device.store, MODEL)
    assert os.lstat(os.path.join(tree, "model.onnx")).st_nlink == 1


def test_a_half_made_tree_of_a_cut_is_replaced(device):
    half = device.layout.tree(RUNTIME.digest) + ".new.tmp"
    os.makedirs(half + "/lib")
    with open(half + "/lib/junk", "w"):
        pass
    assert content_of(trees.build(device.store, RUNTIME)) == RUNTIME_FILES


def blocks(folder):
    inodes = {}
    for where, _, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(where, name))
            inodes[status.st_ino] = status.st_blocks * 512
    return sum(inodes.values())


def test_the_disk_holds_hardly_more_than_the_unique_bytes(tmp_path):
    device = a_prefix(tmp_path / "device")
    weights, library = os.urandom(6_000_000), os.urandom(9_000_000)
    small = {f"lib/numpy/{n}.py": os.urandom(9_000) for n in range(60)}
    model = a_model({"model.onnx": weights, "labels.txt": b"a\n"})
    runtime = an_artifact({"lib/engine.so": library, **small}, executable=["lib/engine.so"])
    device.receive(weights, b"a\n", library, *small.values())
    for artifact in (model, runtime):
        trees.build(device.store, artifact)
    unique = model.size_bytes + runtime.size_bytes
    assert blocks(device.layout.prefix) <= 1.05 * unique


def test_a_tree_belongs_to_whoever_runs_the_tool(device):
    tree = trees.build(device.store, RUNTIME)
    assert os.stat(tree).st_uid == os.geteuid()
