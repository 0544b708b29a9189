import errno
import io
import os
import stat
import subprocess
import sys
import threading

import pytest
from support.device import a_prefix, blob_frame

from edgeform_device import ingest
from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, Incomplete, Refused, Usage
from edgeform_device.store import STAMP_S, Store
from edgeform_wire import digest as digests
from edgeform_wire import frames

BLOB = os.urandom(300_000)
DIGEST = digests.of_bytes(BLOB)


def take(device, content):
    taken = ingest.Ingest(device.store, io.BytesIO(content))
    taken.run()
    return taken


@pytest.fixture
def device(tmp_path):
    return a_prefix(tmp_path / "device")


def test_a_whole_blob_is_in_the_store_read_only_and_stamped(device):
    taken = take(device, blob_frame(BLOB))
    assert taken.received == [{"blob": DIGEST, "have_bytes": len(BLOB), "complete": True}]
    status = os.stat(device.layout.blob(DIGEST))
    assert stat.S_IMODE(status.st_mode) == 0o444
    assert int(status.st_mtime) == STAMP_S
    assert device.store.read(DIGEST, len(BLOB)) == BLOB
    assert os.listdir(device.layout.part_dir) == []


def test_an_upload_that_broke_off_goes_on_where_it_stopped(device):
    whole = blob_frame(BLOB)
    with pytest.raises(Incomplete):
        take(device, whole[: len(whole) // 2])
    have = device.store.have_bytes(DIGEST)
    assert 0 < have < len(BLOB)
    assert ingest.missing(device.store, {"blobs": [DIGEST]}) == [
        {"digest": DIGEST, "have_bytes": have}
    ]
    take(device, blob_frame(BLOB, start=have))
    assert ingest.missing(device.store, {"blobs": [DIGEST]}) == []


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 40, 120, 1000, 299_000])
def test_a_stream_cut_anywhere_is_incomplete_and_can_be_repeated(device, cut):
    whole = blob_frame(BLOB)
    if cut:
        with pytest.raises(Incomplete):
            take(device, whole[:cut])
    else:
        take(device, b"")
    assert not device.store.has(DIGEST)
    take(device, whole)
    assert device.store.is_intact(DIGEST)


def test_pieces_in_many_frames_make_one_blob(device):
    for start in range(0, len(BLOB), 70_000):
        taken = take(device, blob_frame(BLOB, start=start, stop=start + 70_000))
    assert taken.received[0]["complete"] is True
    assert device.store.is_intact(DIGEST)


def test_a_part_that_was_damaged_meanwhile_never_becomes_a_blob(device):
    take(device, blob_frame(BLOB, stop=200_000))
    with open(device.layout.part(DIGEST), "r+b") as stream:
        stream.seek(1000)
        stream.write(b"\0\0\0\0")
    with pytest.raises(Corrupt):
        take(device, blob_frame(BLOB, start=200_000))
    assert not device.store.has(DIGEST)
    assert device.store.have_bytes(DIGEST) == 0


def test_bytes_that_are_not_their_digest_are_thrown_away(device):
    header = {"blob": DIGEST, "offset": 0, "size_bytes": len(BLOB)}
    with pytest.raises(Corrupt):
        take(device, frames.head(header, len(BLOB)) + bytes(len(BLOB)))
    assert not device.store.has(DIGEST)
    assert os.listdir(device.layout.part_dir) == []


def test_a_gap_is_refused(device):
    with pytest.raises(Incomplete, match="200000"):
        take(device, blob_frame(BLOB, start=200_000))


def test_an_offset_below_what_is_here_begins_again_there(device):
    take(device, blob_frame(BLOB, stop=200_000))
    take(device, blob_frame(BLOB, start=50_000))
    assert device.store.is_intact(DIGEST)


@pytest.mark.parametrize(
    "header",
    [
        {"blob": "../../etc/passwd", "offset": 0, "size_bytes": 4},
        {"blob": DIGEST, "offset": 0, "size_bytes": 3},
        {"blob": DIGEST, "offset": -1, "size_bytes": 4},
        {"blob": DIGEST, "size_bytes": 4, "mode": "0755"},
        {"metadata": "../root.json"},
        {"metadata": ".hidden.json"},
        {"metadata": "root.json/x"},
        {"metadata": "root.exe"},
        {"metadata": "a" * 300 + ".json"},
        {"metadata": 7},
        {},
    ],
)
def test_a_frame_of_another_form_is_refused_and_writes_nothing(device, header):
    with pytest.raises((Usage, ValueError)):
        take(device, frames.head(header, 4) + b"evil")
    found = [f for _, _, files in os.walk(device.prefix) for f in files if f != "reserve.bin"]
    assert found == []


def test_metadata_waits_for_the_trust_client(device):
    taken = take(device, frames.head({"metadata": "1.root.json"}, 2) + b"{}")
    assert taken.metadata == ["1.root.json"]
    assert (device.prefix / "incoming/metadata/1.root.json").read_bytes() == b"{}"


class FullDisk(Disk):
    """A disk with room for so many bytes."""

    room_bytes = 100_000

    def sys_write(self, fd, content):
        if self.room_bytes < len(content):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room_bytes -= len(content)
        return super().sys_write(fd, content)


def test_a_full_disk_is_a_clear_refusal_that_keeps_the_part_and_the_reserve(tmp_path):
    device = a_prefix(tmp_path / "device")
    device.disk.mkdir(device.layout.prefix)
    device.disk.fill_reserve()
    full = Store(device.layout, FullDisk(reserve=device.layout.reserve))
    many = b"".join(
        blob_frame(BLOB, start=at, stop=at + 50_000) for at in range(0, 300_000, 50_000)
    )
    with pytest.raises(Refused, match="disk is full"):
        ingest.Ingest(full, io.BytesIO(many)).run()
    assert full.have_bytes(DIGEST) == 100_000
    assert os.path.exists(device.layout.reserve)
    take(device, blob_frame(BLOB, start=100_000))
    assert device.store.is_intact(DIGEST)


def test_a_blob_larger_than_the_disk_is_refused_before_a_byte_is_written(device):
    header = {"blob": DIGEST, "offset": 0, "size_bytes": 2**60}
    with pytest.raises(Refused, match="disk is full"):
        take(device, frames.head(header, 4) + b"head")
    assert device.store.have_bytes(DIGEST) == 0


def test_two_uploads_of_one_blob_at_once_leave_one_whole_blob(device):
    problems = []

    def upload():
        try:
            read, write = os.pipe()
            feeder = threading.Thread(target=feed, args=(write,))
            feeder.start()
            with os.fdopen(read, "rb") as stream:
                ingest.Ingest(device.store, stream).run()
            feeder.join()
        except Exception as exc:
            problems.append(exc)

    def feed(write):
        with os.fdopen(write, "wb") as stream:
            stream.write(blob_frame(BLOB))

    uploads = [threading.Thread(target=upload) for _ in range(4)]
    for each in uploads:
        each.start()
    for each in uploads:
        each.join()
    assert problems == []
    assert device.store.is_intact(DIGEST)
    assert os.listdir(device.layout.part_dir) == []


def test_a_peer_that_falls_silent_does_not_hold_the_device(device, monkeypatch):
    monkeypatch.setattr(ingest, "SILENCE_S", 0.2)
    read, write = os.pipe()
    os.write(write, blob_frame(BLOB)[:5000])
    with os.fdopen(read, "rb") as stream, pytest.raises(Incomplete, match="broke off"):
        ingest.Ingest(device.store, stream).run()
    os.close(write)
    assert device.store.have_bytes(DIGEST) > 0


def test_a_killed_upload_releases_its_lock(device):
    script = (
        "import sys, os; sys.path[:0] = sys.argv[2:]\n"
        "from support.device import a_prefix\n"
        "from edgeform_device.ingest import Ingest\n"
        "device = a_prefix(__import__('pathlib').Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "Ingest(device.store, sys.stdin.buffer).run()\n"
    )
    paths = [p for p in sys.path if p]
    child = subprocess.Popen(
        (sys.executable, "-c", script, str(device.prefix), *paths),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"ready\n"
    child.stdin.write(blob_frame(BLOB)[:100_000])
    child.stdin.flush()
    while device.store.have_bytes(DIGEST) < 50_000:
        assert child.poll() is None
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    take(device, blob_frame(BLOB, start=device.store.have_bytes(DIGEST)))
    assert device.store.is_intact(DIGEST)


# What is in the store


def test_an_edited_blob_is_missing_and_can_be_brought_again(device):
    take(device, blob_frame(BLOB))
    path = device.layout.blob(DIGEST)
    os.chmod(path, 0o644)
    with open(path, "r+b") as stream:
        stream.write(b"XX")
    assert ingest.missing(device.store, {"blobs": [DIGEST]}) == [
        {"digest": DIGEST, "have_bytes": 0}
    ]
    take(device, blob_frame(BLOB))
    assert device.store.is_intact(DIGEST)


def test_a_blob_that_was_only_touched_is_sealed_again_and_not_sent(device):
    take(device, blob_frame(BLOB))
    os.utime(device.layout.blob(DIGEST))
    os.chmod(device.layout.blob(DIGEST), 0o644)
    assert ingest.missing(device.store, {"blobs": [DIGEST]}) == []
    assert stat.S_IMODE(os.stat(device.layout.blob(DIGEST)).st_mode) == 0o444


def rot(path):
    """Change a byte and hide it: the same size, mode and time."""
    os.chmod(path, 0o644)
    with open(path, "r+b") as stream:
        stream.seek(100)
        stream.write(bytes([stream.read(1)[0] ^ 1]))
    os.chmod(path, 0o444)
    os.utime(path, (STAMP_S, STAMP_S))


def test_a_rotten_blob_is_found_by_a_thorough_question_and_never_used(device):
    take(device, blob_frame(BLOB))
    rot(device.layout.blob(DIGEST))
    assert ingest.missing(device.store, {"blobs": [DIGEST]}) == []
    with pytest.raises(Corrupt):
        device.store.read(DIGEST, len(BLOB))
    assert not device.store.has(DIGEST)
    take(device, blob_frame(BLOB))
    rot(device.layout.blob(DIGEST))
    asked = {"blobs": [DIGEST], "verify": True}
    assert ingest.missing(device.store, asked) == [{"digest": DIGEST, "have_bytes": 0}]


def test_a_blob_of_another_size_is_missing(device):
    take(device, blob_frame(BLOB))
    asked = {"blobs": [{"digest": DIGEST, "size_bytes": len(BLOB) + 1}]}
    assert len(ingest.missing(device.store, asked)) == 1


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_something_foreign_at_a_blobs_name_is_not_believed_and_is_replaced(device, kind, tmp_path):
    path = device.layout.blob(DIGEST)
    os.makedirs(os.path.dirname(path))
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    if kind == "link":
        os.symlink(outside, path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.mkfifo(path)
    assert device.store.foreign() == [path]
    assert len(ingest.missing(device.store, {"blobs": [DIGEST]})) == 1
    take(device, blob_frame(BLOB))
    assert device.store.is_intact(DIGEST)
    assert outside.read_bytes() == b"secret"


def test_foreign_names_in_the_store_are_reported(device):
    take(device, blob_frame(BLOB))
    foreign = [
        device.layout.blobs_dir + "/README",
        os.path.dirname(device.layout.blob(DIGEST)) + "/x.so",
    ]
    for path in foreign:
        with open(path, "w"):
            pass
    assert sorted(device.store.foreign()) == sorted(foreign)


def test_a_part_that_is_a_link_is_not_followed(device, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"keep")
    os.makedirs(device.layout.part_dir)
    os.symlink(outside, device.layout.part(DIGEST))
    with pytest.raises(OSError):
        take(device, blob_frame(BLOB))
    assert outside.read_bytes() == b"keep"
