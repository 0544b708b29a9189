"""Where verified metadata is kept: whole files, whatever fails, and nothing but plain files."""

import errno
import os

import pytest
from support.tuf_repo import ARepository, refused

from edgeform_device.errors import NotTrusted
from edgeform_device.tuf_store import MetadataStore, file_name, folder_fetch

MODEL = "artifacts/model/digits/1.0/cpu.json"


class PowerCut(Exception):
    pass


def written(folder, files):
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def cut_after(monkeypatch, calls):
    """Stop at the n-th call that changes the disk or promises that it is there."""
    left = {"calls": calls}

    def wrap(function):
        def stopped(*arguments, **options):
            if left["calls"] == 0:
                raise PowerCut
            left["calls"] -= 1
            return function(*arguments, **options)

        return stopped

    monkeypatch.setattr(os, "fsync", wrap(os.fsync))
    monkeypatch.setattr(os, "rename", wrap(os.rename))
    return left


def test_a_refresh_that_is_cut_at_any_write_goes_on_the_next_time(new_device, monkeypatch):
    """Root, timestamp, snapshot and targets are each cut before and after every fsync and rename."""
    cuts = 0
    for calls in range(40):
        repository = ARepository().add(MODEL).publish()
        device = new_device(repository, f"trust-{calls}")
        device.refresh(repository.fetch)
        repository.rotate_root()
        repository.add(MODEL, b"newer").publish()
        with monkeypatch.context() as patch:
            left = cut_after(patch, calls)
            try:
                device.refresh(repository.fetch)
            except PowerCut:
                cuts += 1
        assert device.refresh(repository.fetch).target(MODEL).length == len(b"newer")
        assert device.stored().versions()["root"] == 2
        if left["calls"] > 0:
            break
    assert cuts >= 12, "four files, three calls each"


def test_a_full_disk_leaves_the_old_metadata(device, repository, monkeypatch):
    device.refresh(repository.fetch)
    before = device.stored().versions()
    repository.add(MODEL, b"newer").publish()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            device.refresh(repository.fetch)
    assert device.stored().versions() == before


def test_a_stored_file_that_was_damaged_is_fetched_again(device, repository, tmp_path):
    device.refresh(repository.fetch)
    for file in (tmp_path / "trust" / "metadata").glob("[!r]*.json"):
        file.write_bytes(b"\0" * 100)

    assert device.refresh(repository.fetch).target(MODEL) is not None


def test_a_damaged_root_is_refused_and_not_replaced(device, repository, tmp_path):
    root = tmp_path / "trust" / "metadata" / "root.json"
    root.write_bytes(root.read_bytes()[:-10])

    with refused(NotTrusted, "root is not well-formed"):
        device.refresh(repository.fetch)


def test_a_stick_is_read_from_its_folder(device, repository, tmp_path):
    stick = written(tmp_path / "stick", repository.files)

    assert device.refresh(folder_fetch(str(stick))).target(MODEL) is not None


@pytest.mark.parametrize(
    "name", ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
)
def test_a_symlink_on_a_stick_is_refused(device, repository, tmp_path, name):
    stick = written(tmp_path / "stick", repository.files)
    (tmp_path / "elsewhere").write_bytes(repository.files.get(name, b""))
    (stick / name).unlink(missing_ok=True)
    (stick / name).symlink_to(tmp_path / "elsewhere")

    with refused(NotTrusted, "is a link or a special file"):
        device.refresh(folder_fetch(str(stick)))


def test_a_pipe_on_a_stick_does_not_block(device, repository, tmp_path):
    stick = written(tmp_path / "stick", repository.files)
    (stick / "timestamp.json").unlink()
    os.mkfifo(stick / "timestamp.json")

    with refused(NotTrusted, "is a link or a special file"):
        device.refresh(folder_fetch(str(stick)))


@pytest.mark.parametrize("role", ["../x", "/x", "a/b", ".", "..", "x\0y", "ü"])
def test_no_role_has_a_file_outside_the_folder(tmp_path, role):
    store = MetadataStore(str(tmp_path / "metadata"))
    store.create()

    store.write(role, b"data")

    assert store.read(role, 10) == b"data"
    assert len(list((tmp_path / "metadata").iterdir())) == 1
    assert "/" not in file_name(role)
