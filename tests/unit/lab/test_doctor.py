"""What a machine can do is judged from what was seen, without looking again."""

import os
from dataclasses import replace

import pytest

from edgeform.lab.device import LabKind
from edgeform.lab.doctor import (
    NEEDED_FOR_ARM_VM,
    NEEDED_FOR_CRASHDISK,
    NEEDED_FOR_NSPAWN,
    NEEDED_FOR_VM,
    PATHS,
    PROGRAMS,
    QEMU,
    Looks,
    best_lab,
    doctor,
    ensure_packages,
    judge,
    missing,
    packages_wanted,
    table,
    why_not_nspawn,
    why_not_vm,
)
from edgeform.lab.failure import LabError

CGROUP2 = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"

ABLE = Looks(
    system="Linux",
    kernel="6.1.0-21-amd64",
    uid=0,
    effective_capabilities=(1 << 41) - 1,
    mountinfo=CGROUP2,
    filesystems="nodev\ttmpfs\nnodev\toverlay\n\text4\n",
    loadable_overlay=False,
    inotify_instances=128,
    sysctl_writable=True,
    existing_paths=frozenset(PATHS),
    programs=frozenset(name for name, _ in (*PROGRAMS, *QEMU)),
    modules=frozenset({"asyncssh"}),
)


def named(looks: Looks, name: str):
    return next(c for c in judge(looks) if c.name == name)


def test_a_machine_with_everything_gets_systemd_devices():
    assert all(c.present for c in judge(ABLE))
    assert best_lab(judge(ABLE)) is LabKind.NSPAWN
    assert why_not_nspawn(judge(ABLE)) == ""
    assert packages_wanted(judge(ABLE)) == ()


@pytest.mark.parametrize(
    ("looks", "obstacle"),
    [
        (replace(ABLE, uid=1000), "root: running as user 1000"),
        (replace(ABLE, system="Darwin"), "linux: this is Darwin"),
        (replace(ABLE, effective_capabilities=0xA80425FB), "without CAP_NET_ADMIN, CAP_SYS_ADMIN"),
        (replace(ABLE, mountinfo=""), "mode none: no cgroup v2 tree"),
        (replace(ABLE, kernel="5.10.0-8"), "no cgroup.kill"),
        (replace(ABLE, filesystems="ext4"), "no overlay file system"),
        (replace(ABLE, sysctl_writable=False), "systemd devices need 1024"),
        (
            replace(ABLE, programs=ABLE.programs - {"systemd-nspawn"}),
            "sudo apt-get install --yes --no-install-recommends systemd-container",
        ),
    ],
)
def test_each_obstacle_leads_to_rootless_devices_and_is_named(looks, obstacle):
    assert best_lab(judge(looks)) is LabKind.ROOTLESS
    assert obstacle in why_not_nspawn(judge(looks))
    assert obstacle in table(judge(looks))


@pytest.mark.parametrize(
    "looks",
    [
        replace(ABLE, filesystems="ext4", loadable_overlay=True),
        replace(ABLE, inotify_instances=1024, sysctl_writable=False),
        replace(ABLE, kernel="5.14.0"),
        replace(ABLE, modules=frozenset()),
        replace(ABLE, programs=ABLE.programs - {"qemu-system-x86_64", "strace", "nft"}),
    ],
)
def test_what_systemd_devices_do_not_need_is_no_obstacle(looks):
    assert best_lab(judge(looks)) is LabKind.NSPAWN


def test_the_cgroup_mode_is_named():
    hybrid = (
        "31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    assert named(ABLE, "cgroups").reason == "mode v2"
    assert named(replace(ABLE, mountinfo=hybrid), "cgroups").reason == "mode hybrid"
    legacy = named(replace(ABLE, mountinfo=hybrid.splitlines()[0]), "cgroups")
    assert not legacy.present
    assert "mode v1" in legacy.reason


def test_the_packages_of_all_gaps_are_named_once():
    bare = judge(replace(ABLE, programs=frozenset()))
    assert packages_wanted(bare) == ("systemd-container", "mmdebstrap", "iproute2", "util-linux")
    assert packages_wanted(bare, NEEDED_FOR_CRASHDISK) == ("e2fsprogs", "qemu-system-common")


def test_machines_need_qemu_and_the_doctor_says_for_which_there_is_one():
    assert why_not_vm(judge(ABLE)) == why_not_vm(judge(ABLE), NEEDED_FOR_ARM_VM) == ""
    assert "arm64 virtual machine here: yes" in table(judge(ABLE))
    no_arm = judge(replace(ABLE, programs=ABLE.programs - {"qemu-system-aarch64"}))
    assert why_not_vm(no_arm) == ""
    assert "qemu-system-arm" in why_not_vm(no_arm, NEEDED_FOR_ARM_VM)
    assert "x86_64 virtual machine here: yes" in table(no_arm)
    assert "arm64 virtual machine here: no\n  qemu-system-aarch64: no program" in table(no_arm)


def test_the_needs_name_capabilities_that_exist():
    names = {c.name for c in judge(ABLE)}
    assert set(NEEDED_FOR_NSPAWN) <= names
    assert set(NEEDED_FOR_CRASHDISK) <= names
    assert set(NEEDED_FOR_VM) <= set(NEEDED_FOR_ARM_VM) <= names


def test_missing_packages_that_may_not_be_installed_are_an_error_with_the_command(tmp_path):
    # A PATH without programs, and sbin directories are only searched where they exist.
    gaps = packages_wanted(doctor({"PATH": str(tmp_path)}))
    if not gaps:
        pytest.skip("this machine has everything in its sbin directories")
    with pytest.raises(LabError) as caught:
        ensure_packages({"PATH": str(tmp_path)}, install=False)
    assert "systemd-container" in caught.value.detail
    assert "sudo apt-get install" in caught.value.hint


def test_this_machine_is_described():
    seen = doctor(os.environ)
    assert next(c for c in seen if c.name == "root").present == (os.geteuid() == 0)
    assert table(seen).count("\n") >= len(seen)
    assert missing(seen, ("linux",)) == ()
