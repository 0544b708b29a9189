"""A virtual machine as command lines and bytes: nothing is started."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from edgeform.lab.device import LabKind
from edgeform.lab.failure import LabMisused
from edgeform.lab.lab import open_lab
from edgeform.lab.template import recipe_of_host
from edgeform.lab.vm_guest import (
    AARCH64,
    JETSON_ORIN_NANO,
    RASPBERRY_PI_5,
    X86_64,
    VmOptions,
    VmPlan,
    device_tree_commands,
    disk_command,
    guest_of,
    qemu_command,
    seed_files,
)
from edgeform.lab.vm_image import image_digest
from edgeform.lab.vm_initrd import Entry, archive, base_initrd, seed_initrd

DEBIAN = "VERSION_CODENAME=bookworm\n"


def a_plan(**options) -> VmPlan:
    return VmPlan(
        name="one",
        directory=Path("/lab/devices/one"),
        kernel=Path("/cache/vmlinuz"),
        base_initrd=Path("/cache/initrd"),
        base_disk=Path("/cache/disk.ext4"),
        port=21001,
        options=VmOptions(**options),
    )


def value_after(command: tuple[str, ...], word: str) -> str:
    return command[command.index(word) + 1]


def test_only_ssh_is_forwarded_and_only_on_the_loopback():
    network = value_after(qemu_command(a_plan()), "-netdev")
    assert network == "user,id=net,hostfwd=tcp:127.0.0.1:21001-:22"


def test_a_guest_s_flush_is_a_flush():
    drive = value_after(qemu_command(a_plan()), "-drive")
    assert "cache=writeback" in drive
    assert "file=/lab/devices/one/disk.qcow2" in drive


def test_the_shared_image_is_only_what_lies_below():
    assert disk_command(a_plan())[-4:] == (
        "/cache/disk.ext4",
        "-F",
        "raw",
        "/lab/devices/one/disk.qcow2",
    )
    assert "/cache/disk.ext4" not in qemu_command(a_plan())


def test_images_are_disks_of_their_own_that_the_machine_can_only_read():
    command = qemu_command(a_plan(images=(Path("/a/one.ext4"), Path("/a/two.ext4"))))
    drives = [command[n + 1] for n, word in enumerate(command) if word == "-drive"]
    assert drives[1:] == [
        "if=none,id=image0,file=/a/one.ext4,format=raw,readonly=on",
        "if=none,id=image1,file=/a/two.ext4,format=raw,readonly=on",
    ]
    assert "virtio-blk-pci,drive=image1" in command


def test_a_snapshot_is_gone_on_from_instead_of_booting():
    assert "-loadvm" not in qemu_command(a_plan())
    assert value_after(qemu_command(a_plan(), snapshot="ready"), "-loadvm") == "ready"


def test_an_arm64_machine_says_what_board_it_is():
    plan = a_plan(guest=AARCH64, board=JETSON_ORIN_NANO)
    dump, model, compatible = device_tree_commands(plan)
    assert "virt,dumpdtb=/lab/devices/one/board.dtb" in dump
    assert model[-1] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert compatible[-2:] == ("nvidia,tegra234", "linux,dummy-virt")
    assert value_after(qemu_command(plan), "-dtb") == "/lab/devices/one/board.dtb"
    assert device_tree_commands(a_plan(guest=AARCH64)) == ()


def test_a_board_for_a_machine_without_device_tree_is_refused():
    with pytest.raises(LabMisused, match="arm64"):
        VmOptions(board=RASPBERRY_PI_5)


def test_an_unknown_architecture_is_refused_with_those_that_there_are():
    assert guest_of("aarch64") is AARCH64
    with pytest.raises(LabMisused, match="x86_64, aarch64"):
        guest_of("riscv64")


def test_what_decides_the_image_decides_its_name():
    names = {
        image_digest(recipe_of_host(DEBIAN, guest.machine), guest) for guest in (X86_64, AARCH64)
    }
    assert len(names) == 2
    recipe = recipe_of_host(DEBIAN, "x86_64")
    assert image_digest(recipe, X86_64) == image_digest(recipe, X86_64)


def test_a_machine_s_own_files_are_private_where_they_must_be():
    seed = seed_files(a_plan(), public_key="ssh-ed25519 AAAA", host_key=b"secret")
    packed = seed_initrd(seed)
    start = packed.index(b"home/edge/.ssh")
    with tarfile.open(fileobj=io.BytesIO(packed[start:]), mode="r:") as tar:
        found = {entry.name: (entry.mode, entry.uid, entry.isdir()) for entry in tar}
    assert found["home/edge/.ssh"] == (0o700, 1000, True)
    assert found["home/edge/.ssh/authorized_keys"] == (0o600, 1000, False)
    assert found["root/.ssh"] == (0o700, 0, True)
    assert found["etc/ssh/ssh_host_ed25519_key"] == (0o600, 0, False)
    assert "etc" not in found  # directories of the image keep their own modes


def test_an_archive_is_what_cpio_reads(tmp_path):
    if not shutil.which("cpio"):
        pytest.skip("no program cpio to compare with")
    packed = archive((Entry(path="dir"), Entry(path="dir/odd", content=b"12345", mode=0o640)))
    done = subprocess.run(
        ("cpio", "-i", "--quiet"), input=packed, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dir" / "odd").read_bytes() == b"12345"
    assert (tmp_path / "dir" / "odd").stat().st_mode & 0o777 == 0o640


def test_archives_can_follow_each_other():
    first = base_initrd(b"busybox", [("a.ko", b"1"), ("b.ko", b"2")])
    assert len(first) % 512 == 0
    assert len(seed_initrd(())) % 512 == 0
    assert b"a.ko\nb.ko\n" in first
    assert first == base_initrd(b"busybox", [("a.ko", b"1"), ("b.ko", b"2")])


def test_a_lab_of_machines_that_never_was_is_down_already(tmp_path):
    lab = open_lab(LabKind.VM, tmp_path / "none", environment={})
    assert not lab.attach()
    assert lab.devices() == ()
    lab.down()
    with pytest.raises(LabMisused, match="no machine 'one'"):
        lab.boot("one")
