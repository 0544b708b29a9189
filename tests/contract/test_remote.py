"""The suite that every remote of the store must pass."""

import pytest

from edgeform.errors import Corrupt, OutsideFailed
from edgeform.store import DirectoryRemote, Objects, pull, pull_files, push, push_files
from edgeform_wire.digest import of_bytes

CONTENTS = tuple(bytes([n]) * (n * 1000 + 1) for n in range(1, 6))
DIGESTS = tuple(of_bytes(content) for content in CONTENTS)


@pytest.fixture(params=[DirectoryRemote], ids=["directory"])
def remote(request, tmp_path):
    return request.param(tmp_path / "remote")


@pytest.fixture
def here(tmp_path):
    objects = Objects(tmp_path / "here")
    for content in CONTENTS:
        objects.put(content)
    return objects


@pytest.fixture
def there(tmp_path):
    return Objects(tmp_path / "there")


class Breaking:
    """A remote whose line breaks after so many bytes of each answer, until it is mended."""

    def __init__(self, remote, after_bytes):
        self._remote = remote
        self.after_bytes = after_bytes
        self.offsets = []

    def sizes(self, prefix):
        return self._remote.sizes(prefix)

    def put(self, name, source):
        self._remote.put(name, source)

    def get(self, name, offset):
        self.offsets.append(offset)
        left = self.after_bytes
        for chunk in self._remote.get(name, offset):
            yield chunk[:left]
            left -= len(chunk[:left])
            if left <= 0:
                raise OutsideFailed("the line broke")


def test_what_was_pushed_is_pulled_with_the_same_bytes(here, there, remote):
    assert push(here, remote, DIGESTS).sent == len(DIGESTS)
    assert pull(there, remote, DIGESTS).bytes == sum(map(len, CONTENTS))
    assert [there.read(digest) for digest in DIGESTS] == list(CONTENTS)


def test_only_what_is_lacking_travels(here, there, remote):
    push(here, remote, DIGESTS[:2])
    again = push(here, remote, DIGESTS)
    assert (again.sent, again.already) == (3, 2)
    pull(there, remote, DIGESTS[:1])
    again = pull(there, remote, [*DIGESTS, *DIGESTS])
    assert (again.sent, again.already) == (4, 1)


def test_progress_counts_up_to_all_bytes(here, there, remote):
    told = []
    push(here, remote, DIGESTS, lambda done, total: told.append((done, total)))
    total = sum(map(len, CONTENTS))
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_broken_off_object_goes_on_where_it_stopped(here, there, remote):
    push(here, remote, DIGESTS[4:])
    broken = Breaking(remote, 1000)
    for _ in range(5):
        with pytest.raises(OutsideFailed):
            pull(there, broken, DIGESTS[4:])
    assert broken.offsets == [0, 1000, 2000, 3000, 4000]
    broken.after_bytes = 10**9
    pull(there, broken, DIGESTS[4:])
    assert broken.offsets[-1] == 5000
    assert there.read(DIGESTS[4]) == CONTENTS[4]


def test_a_damaged_beginning_is_noticed_and_fetched_anew(here, there, remote):
    push(here, remote, DIGESTS[4:])
    part = there.part(DIGESTS[4])
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 100)
    pull(there, remote, DIGESTS[4:])
    assert there.read(DIGESTS[4]) == CONTENTS[4]


def test_a_remote_that_lies_is_not_believed(here, there, remote, tmp_path):
    push(here, remote, DIGESTS)
    name = "sha256/" + DIGESTS[0][7:9] + "/" + DIGESTS[0][9:]
    lie = tmp_path / "lie"
    lie.write_bytes(b"!" * len(CONTENTS[0]))
    remote.put(name, lie)
    with pytest.raises(Corrupt, match="What was received"):
        pull(there, remote, DIGESTS)
    assert not there.has(DIGESTS[0])


def test_a_damaged_object_is_never_pushed(here, remote):
    path = here.path(DIGESTS[0])
    path.chmod(0o644)
    path.write_bytes(b"!" * len(CONTENTS[0]))
    with pytest.raises(Corrupt):
        push(here, remote, DIGESTS[:1])
    assert remote.sizes("sha256/") == {}


def test_what_the_remote_lacks_is_named_before_anything_is_fetched(here, there, remote):
    push(here, remote, DIGESTS[:2])
    with pytest.raises(OutsideFailed, match="and 2 more"):
        pull(there, remote, DIGESTS)
    assert list(there) == []


def test_a_name_cannot_leave_the_remote(remote, tmp_path):
    source = tmp_path / "x"
    source.write_bytes(b"x")
    for name in ("../x", "/etc/x", "a/../../x"):
        with pytest.raises(OutsideFailed):
            remote.put(name, source)
        with pytest.raises(OutsideFailed):
            list(remote.get(name, 0))


def test_a_replaced_file_is_the_new_one_whole(remote, tmp_path):
    for content in (b"old and long", b"new"):
        source = tmp_path / "timestamp.json"
        source.write_bytes(content)
        remote.put("trust/timestamp.json", source)
    assert b"".join(remote.get("trust/timestamp.json", 0)) == b"new"
    assert remote.sizes("trust/") == {"trust/timestamp.json": 3}


def test_a_publication_is_sent_timestamp_last_and_comes_back_whole(remote, tmp_path):
    folder = tmp_path / "trust"
    (folder / "metadata").mkdir(parents=True)
    for name in ("timestamp.json", "1.root.json", "2.snapshot.json"):
        (folder / "metadata" / name).write_text(name)
    order = []

    class Watching:
        def sizes(self, prefix):
            return remote.sizes(prefix)

        def put(self, name, source):
            order.append(name)
            remote.put(name, source)

    push_files(Watching(), "trust/", folder)
    assert order[-1] == "trust/metadata/timestamp.json"
    order.clear()
    push_files(Watching(), "trust/", folder)
    assert order == ["trust/metadata/timestamp.json"]
    pull_files(remote, "trust/", tmp_path / "back")
    assert (tmp_path / "back" / "metadata" / "2.snapshot.json").read_text() == "2.snapshot.json"


def test_a_remote_that_names_files_outside_the_folder_is_refused(tmp_path):
    class Hostile:
        def sizes(self, prefix):
            return {"trust/../../evil": 1}

        def get(self, name, offset):
            yield b"!"

    with pytest.raises(OutsideFailed, match="would leave the folder"):
        pull_files(Hostile(), "trust/", tmp_path / "back")
    assert not (tmp_path / "evil").exists()
