"""The control groups that hold a lab's devices: how they are cut off, and how they are limited.

A device is cut by `cgroup.kill`: killing the nspawn process would leave the device's own systemd alive.
"""

import contextlib
import errno
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeform.lab.execution import wait_until
from edgeform.lab.failure import LabError

ROOT_NAME = "edgeform-lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupMounts:
    """Where this host has its cgroup trees.

    Attributes:
        unified: the v2 tree; "" where none is mounted.
        legacy: v1 controllers and their mount points, e.g. ("memory", "/sys/fs/cgroup/memory").
    """

    unified: str
    legacy: tuple[tuple[str, str], ...]

    @property
    def mode(self) -> str:
        """v2, hybrid, v1, or none."""
        match bool(self.unified), bool(self.legacy):
            case True, False:
                return "v2"
            case True, True:
                return "hybrid"
            case False, True:
                return "v1"
            case _:
                return "none"


def mountinfo() -> str:
    """What this process has mounted, as the kernel lists it; "" on other systems than Linux."""
    try:
        return Path("/proc/self/mountinfo").read_text()
    except FileNotFoundError:
        return ""


def mounts_of(text: str) -> CgroupMounts:
    """The trees named by the text of a mountinfo file."""
    unified = ""
    legacy: dict[str, str] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        if not after:
            continue
        mount_point = before.split()[4]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" and not unified:
            unified = mount_point
        elif kind == "cgroup":
            for name in options.split(","):
                if name in {"memory", "cpu", "pids"}:
                    legacy.setdefault(name, mount_point)
    return CgroupMounts(unified=unified, legacy=tuple(sorted(legacy.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCgroup:
    """The groups of one device.

    Its supervisor loop lives in `loop`, nspawn and the device below `machine`: a group with processes of
    its own could not hand controllers down.
    """

    mounts: CgroupMounts
    lab_id: str
    key: str

    @property
    def below(self) -> str:
        return f"{ROOT_NAME}/{self.lab_id}/{self.key}"

    @property
    def unified(self) -> Path:
        return Path(self.mounts.unified) / self.below

    @property
    def legacy(self) -> tuple[tuple[str, Path], ...]:
        return tuple((name, Path(at) / self.below) for name, at in self.mounts.legacy)

    def create(self, *, memory_mb: int, cpu_percent: int) -> None:
        """Make the groups, limited; 0 means no limit.

        Raises:
            LabError: a limit was asked for that this host cannot set.
        """
        (self.unified / "loop").mkdir(parents=True, exist_ok=True)
        (self.unified / "machine").mkdir(exist_ok=True)
        for _, group in self.legacy:
            group.mkdir(parents=True, exist_ok=True)
        self._delegate()
        period_us = 100_000
        limits = {
            "memory": (memory_mb << 20, "memory.limit_in_bytes", "memory.max", "{}"),
            "cpu": (
                cpu_percent * period_us // 100,
                "cpu.cfs_quota_us",
                "cpu.max",
                f"{{}} {period_us}",
            ),
        }
        legacy = dict(self.legacy)
        for controller, (value, old_name, new_name, form) in limits.items():
            if not value:
                continue
            if controller in legacy:
                (legacy[controller] / old_name).write_text(str(value))
            elif (self.unified / new_name).exists():
                (self.unified / new_name).write_text(form.format(value))
            else:
                raise LabError(f"This host has no cgroup controller {controller!r} to limit with.")

    def _delegate(self) -> None:
        available = (Path(self.mounts.unified) / "cgroup.controllers").read_text().split()
        wanted = [name for name in ("memory", "cpu", "pids") if name in available]
        for group in (*reversed(self.unified.parents[:3]), self.unified, self.unified / "machine"):
            for name in wanted:
                # Where the host's own manager forbids it, devices run without limits inside.
                with contextlib.suppress(OSError):
                    (group / "cgroup.subtree_control").write_text(f"+{name}")

    def leader(self) -> int:
        """The device's own PID 1, as this host numbers it; 0 while there is none."""
        listed = self.unified / "machine" / "payload" / "init.scope" / "cgroup.procs"
        try:
            numbers = listed.read_text().split()
        except OSError:
            return 0
        return int(numbers[0]) if numbers else 0

    def is_populated(self) -> bool:
        """Whether any process of the device is left."""
        try:
            return "populated 1" in (self.unified / "cgroup.events").read_text()
        except OSError:
            return False

    def kill(self) -> None:
        """End every process of the device at once, and return when none is left."""
        switch = self.unified / "cgroup.kill"
        if not self.unified.is_dir():
            return
        switch.write_text("1")
        wait_until(
            lambda: not self.is_populated(), what=f"the processes of {self.below}", timeout_s=20
        )

    def remove(self) -> None:
        """Take the empty groups away, also what the device's systemd made below them."""
        for group in (self.unified, *(path for _, path in self.legacy)):
            remove_tree(group)


def remove_tree(group: Path) -> None:
    """Remove a cgroup without processes, with all groups below it."""
    for below, _, _ in os.walk(group, topdown=False):
        # A v1 group stays busy for a moment after its last process.
        wait_until(partial(_removed, Path(below)), what=f"{below} to be free", timeout_s=10)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            return False
        raise
    return True


def groups_of_lab(mounts: CgroupMounts, lab_id: str) -> tuple[Path, ...]:
    """The top groups of a lab in every tree, whether or not they exist."""
    trees = filter(None, (mounts.unified, *(at for _, at in mounts.legacy)))
    return tuple(Path(at) / ROOT_NAME / lab_id for at in trees)
