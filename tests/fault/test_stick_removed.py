"""A real exFAT stick that is pulled out while it is read: the file system is gone in the middle of a copy.

A kernel under test may know neither vfat nor exFAT, so the file system runs in user space; killing it is the
removal.
"""

import os
import shutil
import signal
import subprocess
from functools import partial

import pytest
from support import device as devices
from support.real_device import wait_for
from support.stick import StickDevice

from edgeform_device.store import Store

PROGRAMS = ("mkfs.exfat", "mount.exfat-fuse")
WHY = [p for p in PROGRAMS if shutil.which(p) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
    pytest.mark.skipif(bool(WHY), reason=f"not on this machine: {', '.join(WHY)}"),
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no /dev/fuse"),
]
MEBIBYTES = 48


class Stick:
    """An exFAT image that can be put in and pulled out."""

    def __init__(self, folder):
        self._image, self.place = folder / "stick.exfat", folder / "mnt"
        self.place.mkdir()
        with self._image.open("wb") as stream:
            stream.truncate(256 << 20)
        subprocess.run(("mkfs.exfat", self._image), check=True, stdout=subprocess.DEVNULL)
        loop = ("losetup", "--find", "--show", self._image)
        self._device = subprocess.run(
            loop, check=True, capture_output=True, text=True
        ).stdout.strip()
        self._process = None

    def put_in(self, options="rw"):
        self._process = subprocess.Popen(
            ("mount.exfat-fuse", "-d", "-o", options, self._device, self.place),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self.place.is_mount, "the stick")

    def pull_out(self):
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def take_away(self):
        """As a person does who first ejects it."""
        subprocess.run(("umount", self.place), check=True)
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    def forget(self):
        subprocess.run(("umount", "-l", self.place), check=False, stderr=subprocess.DEVNULL)

    def end(self):
        self.pull_out()
        self.forget()
        subprocess.run(("losetup", "--detach", self._device), check=False)


@pytest.fixture
def stick(tmp_path):
    made = Stick(tmp_path)
    yield made
    made.end()


@pytest.fixture
def real(tmp_path):
    device = StickDevice(tmp_path / "d") if (tmp_path / "d").mkdir() is None else None
    yield device
    device.end()


def heavy(files):
    return {**files, "ballast.bin": os.urandom(MEBIBYTES << 20)}


def started(real, place):
    return subprocess.Popen(
        (*real.tool, "bundle", str(place)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(process) -> devices.Answer:
    import json

    out, err = process.communicate(timeout=120)
    return devices.Answer(process.returncode, json.loads(out), err.decode())


def has_copied(real, running, at) -> bool:
    return copied_bytes(real) > at or running.poll() is not None


def copied_bytes(real) -> int:
    parts = real.device.prefix / "incoming/.part"
    try:
        return sum(p.stat().st_size for p in parts.iterdir())
    except FileNotFoundError:
        return 0


def test_a_stick_pulled_out_during_the_copy_goes_on_where_it_stopped(real, stick):
    stick.put_in()
    deployment = real.signed("1.0.0", spoil=heavy)
    real.press.stick("unused", deployment)
    shutil.copytree(
        real.folder / "unused", stick.place, dirs_exist_ok=True, copy_function=shutil.copyfile
    )
    stick.take_away()
    pulled = 0
    for at in (1 << 20, 12 << 20, 30 << 20):
        stick.put_in()
        before = copied_bytes(real)
        running = started(real, stick.place)
        try:
            wait_for(partial(has_copied, real, running, at), "bytes", 60)
        finally:
            stick.pull_out()
        done = ended(running)
        stick.forget()
        if done.exit_code == 0:
            break  # it was faster than we were
        pulled += 1
        assert done.exit_code == 9, done
        assert "cannot be read" in done.said["error"]["summary"], done
        assert "Put the stick in again" in done.said["error"]["hint"]
        assert copied_bytes(real) >= before
        assert real.state.committed() is None
    assert pulled, "it was never caught in the middle"
    stick.put_in()
    done = real.insert(stick.place)
    assert done.exit_code == 0, done
    assert done.said["outcome"] in ("committed", "unchanged")
    assert done.said["copied_bytes"] < MEBIBYTES << 20, "what was copied before is not copied again"
    assert real.serving()["generation"] == 1
    model = deployment.generation.artifacts[0]
    assert Store(real.layout, real.device.disk).has(model.digest)


def test_pulled_out_after_the_copy_the_transaction_goes_on_alone(real, stick):
    stick.put_in()
    real.press.stick("unused", real.signed("1.0.0", soak_s=3.0))
    shutil.copytree(
        real.folder / "unused", stick.place, dirs_exist_ok=True, copy_function=shutil.copyfile
    )
    running = started(real, stick.place)
    wait_for(lambda: real.state.order() is not None, "the transaction", 60)
    stick.pull_out()
    done = ended(running)
    assert done.exit_code == 0, done
    assert done.said["outcome"] == "committed"
    assert done.said["returned"].startswith("not written to the stick"), done
    assert real.serving()["generation"] == 1


def test_a_read_only_stick_is_applied_and_the_receipt_stays_on_the_device(real, stick):
    stick.put_in()
    real.press.stick("unused", real.signed("1.0.0"))
    shutil.copytree(
        real.folder / "unused", stick.place, dirs_exist_ok=True, copy_function=shutil.copyfile
    )
    stick.take_away()
    stick.put_in("ro")
    done = real.insert(stick.place)
    assert done.exit_code == 0, done
    assert "ead-only" in done.said["returned"], done
    stick.take_away()
    stick.put_in()
    assert real.insert(stick.place, "--report").said["returned"] == "written"
    left = stick.place / "edgeform/return/device-cam-1.jsonl"
    assert left.read_bytes().count(b"\n") == 1


def fill(place):
    """To the last byte: in large pieces, then in ever smaller ones."""
    with (place / "holiday.mov").open("wb", buffering=0) as film:
        size = 1 << 20
        while size:
            try:
                film.write(b"x" * size)
            except OSError:
                size //= 2


def test_a_stick_too_full_for_receipts_takes_nothing_away(real, stick):
    stick.put_in()
    real.press.stick("unused", real.signed("1.0.0"))
    shutil.copytree(
        real.folder / "unused", stick.place, dirs_exist_ok=True, copy_function=shutil.copyfile
    )
    fill(stick.place)
    done = real.insert(stick.place)
    assert done.exit_code == 0, done
    assert "No space left" in done.said["returned"], done
