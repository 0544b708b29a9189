"""Uploads onto a real file system that is too small; ext4 on a loop device of our own."""

import io
import os
import shutil
import subprocess

import pytest
from support.device import a_prefix, blob_frame

from edgeform_device.errors import Refused
from edgeform_device.ingest import Ingest, missing
from edgeform_device.store import Store
from edgeform_wire import digest as digests
from edgeform_wire import frames

pytestmark = pytest.mark.device


@pytest.fixture
def small_disk(tmp_path):
    """16 MiB of ext4."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4 to mount a small disk")
    image, mount = tmp_path / "image", tmp_path / "mount"
    image.write_bytes(b"")
    os.truncate(image, 16 * 1024 * 1024)
    mount.mkdir()
    subprocess.run(("mkfs.ext4", "-q", "-F", image), check=True)
    made = subprocess.run(("mount", "-o", "loop", image, mount), capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot mount a loop device here: {made.stderr.decode().strip()}")
    yield mount
    subprocess.run(("umount", mount), check=True)


def test_a_blob_that_does_not_fit_is_refused_and_one_that_fits_still_comes(small_disk):
    device = a_prefix(small_disk / "device")
    device.disk.mkdir(device.layout.prefix)
    device.disk.fill_reserve()
    blob = os.urandom(3_000_000)
    for content, fits in ((os.urandom(20_000_000), False), (blob, True)):
        stream = io.BytesIO(blob_frame(content))
        if fits:
            Ingest(device.store, stream).run()
        else:
            with pytest.raises(Refused, match="disk is full"):
                Ingest(device.store, stream).run()
    assert device.store.is_intact(digests.of_bytes(blob))


def test_a_disk_that_fills_up_meanwhile_keeps_the_part_and_the_reserve(small_disk):
    device = a_prefix(small_disk / "device")
    device.disk.mkdir(device.layout.prefix)
    device.disk.fill_reserve()
    blob = os.urandom(6_000_000)
    digest = digests.of_bytes(blob)

    class FillingUp(io.BytesIO):
        """A peer whose bytes arrive while somebody else takes all the room."""

        def read(self, count=-1):
            if self.tell() > 1_000_000 and not (small_disk / "hog").exists():
                with pytest.raises(OSError), open(small_disk / "hog", "wb", buffering=0) as hog:
                    while True:
                        hog.write(bytes(65536))
            return super().read(min(count, 65536))

    header = {"blob": digest, "offset": 0, "size_bytes": len(blob)}
    stream = FillingUp(frames.head(header, len(blob)) + blob)
    with pytest.raises(Refused, match="disk is full"):
        Ingest(Store(device.layout, device.disk), stream).run()
    have = device.store.have_bytes(digest)
    assert 0 < have < len(blob)
    assert os.path.exists(device.layout.reserve)
    os.unlink(small_disk / "hog")
    assert missing(device.store, {"blobs": [digest]}) == [{"digest": digest, "have_bytes": have}]
    Ingest(device.store, io.BytesIO(blob_frame(blob, start=have))).run()
    assert device.store.is_intact(digest)
