import os

import pytest
from support.documents import an_artifact

from edgeform.errors import Corrupt, UsageError
from edgeform.store import Artifacts, Objects, Roots, plan_gc, run_gc
from edgeform_wire.digest import of_bytes

NOW_S = 2_000_000_000.0


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path / "store")


@pytest.fixture
def artifacts(objects):
    return Artifacts(objects)


@pytest.fixture
def roots(objects):
    return Roots(objects.folder)


def files(tmp_path):
    found = {"golden/index.json": b"{}", "model.onnx": b"onnx!"}
    for path, content in found.items():
        (tmp_path / path.replace("/", "_")).write_bytes(content)
    return {path: tmp_path / path.replace("/", "_") for path in found}


def age(objects, seconds=7200.0):
    for digest in objects:
        os.utime(objects.path(digest), (NOW_S - seconds, NOW_S - seconds))


def test_an_artifact_is_its_manifest_and_its_files(artifacts, tmp_path):
    digest = artifacts.add(an_artifact(), files(tmp_path))
    assert digest == an_artifact().digest
    assert artifacts.get(digest) == an_artifact()
    assert artifacts.missing(digest) == ()
    assert list(artifacts) == [digest]
    assert artifacts.closure(digest) == {digest, of_bytes(b"{}"), of_bytes(b"onnx!")}


def test_a_file_that_differs_from_the_manifest_stops_the_artifact(artifacts, tmp_path):
    there = files(tmp_path)
    there["model.onnx"].write_bytes(b"other")
    with pytest.raises(Corrupt):
        artifacts.add(an_artifact(), there)
    assert list(artifacts) == []


def test_missing_files_are_named(artifacts):
    digest = artifacts.index(an_artifact().encoded())
    assert set(artifacts.missing(digest)) == {of_bytes(b"{}"), of_bytes(b"onnx!")}
    assert artifacts.missing(of_bytes(b"unknown")) == (of_bytes(b"unknown"),)


@pytest.mark.parametrize("document", [b"{}", b"nonsense", an_artifact().encoded() + b" "])
def test_what_is_no_canonical_manifest_is_not_indexed(artifacts, document):
    with pytest.raises(Corrupt):
        artifacts.index(document)


def test_an_object_that_is_no_manifest_is_no_artifact(artifacts, objects):
    with pytest.raises(Corrupt, match="no artifact manifest"):
        artifacts.get(objects.put(b"hello"))


def test_what_a_root_names_is_kept_and_the_rest_collected(artifacts, objects, roots, tmp_path):
    digest = artifacts.add(an_artifact(), files(tmp_path))
    stray = objects.put(b"stray")
    roots.set("lock", [digest])
    age(objects)
    plan = plan_gc(objects, roots, now_s=NOW_S)
    assert plan.remove == (stray,)
    assert (plan.free_bytes, plan.kept, plan.young) == (5, 3, 0)
    assert run_gc(objects, plan) == 5
    assert artifacts.missing(digest) == ()
    assert plan_gc(objects, roots, now_s=NOW_S).remove == ()


def test_without_its_root_an_artifact_goes_with_its_index_entry(
    artifacts, objects, roots, tmp_path
):
    digest = artifacts.add(an_artifact(), files(tmp_path))
    roots.set("lock", [digest])
    roots.drop("lock")
    age(objects)
    run_gc(objects, plan_gc(objects, roots, now_s=NOW_S))
    assert list(objects) == []
    assert list(artifacts) == []
    assert list((objects.folder / "artifacts").iterdir()) == []


def test_a_young_object_stays_although_nobody_names_it_yet(objects, roots):
    objects.put(b"just built")
    age(objects, seconds=60.0)
    plan = plan_gc(objects, roots, now_s=NOW_S)
    assert (plan.remove, plan.young) == ((), 1)


def test_a_rooted_artifact_that_is_not_whole_is_told_and_the_rest_of_it_kept(
    artifacts, objects, roots
):
    digest = artifacts.index(an_artifact().encoded())
    objects.put(b"onnx!")
    roots.set("lock", [digest, of_bytes(b"not here at all")])
    age(objects)
    plan = plan_gc(objects, roots, now_s=NOW_S)
    assert plan.remove == ()
    assert plan.incomplete == tuple(sorted((digest, of_bytes(b"not here at all"))))


def test_nothing_is_collected_while_a_root_or_a_kept_manifest_is_damaged(
    artifacts, objects, roots, tmp_path
):
    digest = artifacts.add(an_artifact(), files(tmp_path))
    roots.set("lock", [digest])
    age(objects)
    objects.path(digest).chmod(0o644)
    objects.path(digest).write_bytes(b"damage")
    with pytest.raises(Corrupt):
        plan_gc(objects, roots, now_s=NOW_S)
    (objects.folder / "roots" / "lock").write_text("nonsense\n")
    with pytest.raises(Corrupt, match="root of the store is damaged"):
        plan_gc(objects, roots, now_s=NOW_S)


def test_a_root_is_replaced_as_a_whole_and_its_name_cannot_climb(roots):
    one, two = of_bytes(b"1"), of_bytes(b"2")
    roots.set("lock", [one])
    roots.set("lock", [two])
    assert roots.all() == {"lock": {two}}
    for name in ("../x", "", "a/b"):
        with pytest.raises(UsageError):
            roots.set(name, [one])
