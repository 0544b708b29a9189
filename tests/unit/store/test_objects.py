import os
import threading

import pytest

from edgeform.errors import Corrupt
from edgeform.store import Objects
from edgeform_wire.digest import of_bytes

CONTENT = b"weights" * 1000
DIGEST = of_bytes(CONTENT)


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path / "store")


def leftovers(objects):
    return sorted(p.name for p in (objects.folder / "incoming").glob("*"))


def test_bytes_come_back_by_their_digest(objects):
    assert objects.put(CONTENT) == DIGEST
    assert objects.read(DIGEST) == CONTENT
    assert objects.verified(DIGEST).read_bytes() == CONTENT
    assert list(objects) == [DIGEST]
    assert objects.size_bytes(DIGEST) == len(CONTENT)


def test_putting_twice_keeps_one_and_leaves_nothing_behind(objects, tmp_path):
    source = tmp_path / "model.onnx"
    source.write_bytes(CONTENT)
    for _ in range(2):
        assert objects.put(CONTENT) == DIGEST
        assert objects.put_file(source) == DIGEST
    assert list(objects) == [DIGEST]
    assert leftovers(objects) == []


def test_objects_are_read_only(objects):
    objects.put(CONTENT)
    assert objects.path(DIGEST).stat().st_mode & 0o777 == 0o444


def test_a_file_that_is_not_what_was_expected_is_not_taken(objects, tmp_path):
    source = tmp_path / "model.onnx"
    source.write_bytes(CONTENT)
    with pytest.raises(Corrupt, match="not sha256:"):
        objects.put_file(source, of_bytes(b"other"))
    assert list(objects) == []
    assert leftovers(objects) == []


@pytest.mark.parametrize("read", ["read", "verified"])
def test_a_damaged_object_is_set_aside_and_can_be_put_again(objects, read):
    objects.put(CONTENT)
    path = objects.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(Corrupt, match="damaged") as caught:
        getattr(objects, read)(DIGEST)
    assert "edgeform store pull" in caught.value.hint
    assert not objects.has(DIGEST)
    assert os.path.exists(caught.value.address)
    objects.put(CONTENT)
    assert getattr(objects, read)(DIGEST)


@pytest.mark.parametrize("ask", ["read", "verified", "size_bytes"])
def test_a_missing_object_says_where_to_get_it(objects, ask):
    with pytest.raises(Corrupt, match="is not in the store") as caught:
        getattr(objects, ask)(DIGEST)
    assert "edgeform store pull DIRECTORY" in caught.value.hint


def test_foreign_files_are_not_objects(objects):
    objects.put(CONTENT)
    (objects.path(DIGEST).parent / "README").write_text("hello")
    assert list(objects) == [DIGEST]


def test_a_part_with_wrong_bytes_is_thrown_away(objects, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(b"nonsense")
    with pytest.raises(Corrupt, match="What was received"):
        objects.adopt(part, DIGEST)
    assert not part.exists()
    assert not objects.has(DIGEST)


def test_many_writers_of_the_same_object_do_not_disturb_each_other(objects):
    threads = [threading.Thread(target=objects.put, args=(CONTENT,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert objects.read(DIGEST) == CONTENT
    assert leftovers(objects) == []


def test_removing_says_how_much_it_freed(objects):
    objects.put(CONTENT)
    assert objects.remove(DIGEST) == len(CONTENT)
    assert objects.remove(DIGEST) == 0
