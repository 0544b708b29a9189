"""Which labs of this host are alive, and how every trace of one is removed.

A lab's names all follow from its id, so a lab can be swept away without knowing how far it got, and
whatever happened to the process that made it.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from edgeform.lab.cgroup import CgroupMounts, groups_of_lab, mountinfo, mounts_of, remove_tree
from edgeform.lab.execution import Progress, run, wait_until
from edgeform.lab.failure import CommandFailed
from edgeform.lab.network import UPLINK, LabNetwork

REGISTRY = Path("/run/edgeform-lab")
MACHINES = "machines.json"
OWN_FILES = ("lab.json", MACHINES, "known_hosts", "id_ed25519", "id_ed25519.pub")
OWN_DIRECTORIES = ("devices", "disk")


def process_start(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" if there is no such process, or only its
    status is left for its parent to read.

    Together with the number it tells a process from a later one of the same number.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def remember(lab_id: str, directory: Path, owner_pid: int) -> None:
    """Note that a lab begins to exist, before anything of it does."""
    REGISTRY.mkdir(parents=True, exist_ok=True)
    entry = {
        "directory": str(directory),
        "owner_pid": owner_pid,
        "owner_start": process_start(owner_pid) if owner_pid else "",
    }
    fresh = REGISTRY / f".{lab_id}.tmp"
    fresh.write_text(json.dumps(entry) + "\n")
    fresh.replace(REGISTRY / f"{lab_id}.json")


def forget(lab_id: str) -> None:
    (REGISTRY / f"{lab_id}.json").unlink(missing_ok=True)


def sweep_dead(progress: Progress) -> None:
    """Take down the labs whose owners are gone: killed test runs."""
    with _only_one():
        for path in sorted(REGISTRY.glob("*.json")):
            entry = json.loads(path.read_text())
            owner = entry["owner_pid"]
            if owner and process_start(owner) != entry["owner_start"]:
                progress(f"removing a lab that its owner left behind: {entry['directory']}")
                cgroups = mounts_of(mountinfo())
                sweep(path.stem, Path(entry["directory"]), cgroups)
                forget(path.stem)


def sweep(lab_id: str, directory: Path, cgroups: CgroupMounts) -> None:
    """Remove everything that a lab may have left; nothing to do is no error."""
    groups = groups_of_lab(cgroups, lab_id)
    for group in groups:
        switch = group / "cgroup.kill"
        if switch.exists():
            switch.write_text("1")
            wait_until(
                partial(_is_empty, group),
                what=f"the processes of the lab in {directory}",
                timeout_s=30,
            )
    for group in groups:
        if group.is_dir():
            remove_tree(group)
        with contextlib.suppress(OSError):  # absent, or other labs are in it
            group.parent.rmdir()
    _end_machines_below(directory)
    _unmount_below(directory)
    _detach_loops_below(directory)
    network = LabNetwork(lab_id=lab_id, subnet=0)
    if Path(network.namespace_path).exists():
        # Explicitly, because the kernel destroys a namespace's interfaces in its own time.
        with contextlib.suppress(CommandFailed):
            run(("ip", "-n", network.namespace, "link", "delete", UPLINK))
        run(("ip", "netns", "delete", network.namespace))
    for name in OWN_DIRECTORIES:
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)
    for name in OWN_FILES:
        (directory / name).unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def machine_pid(directory: Path) -> int:
    """The qemu whose files are in that directory; 0 where it is off.

    The number in its pid file may be another process's by now, so its command line has to agree.
    """
    try:
        pid = int((directory / "qemu.pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    # A process that only waits for its parent to hear of its end has an empty command line.
    return pid if f"{directory}/qemu.pid".encode() in words else 0


def _end_machines_below(directory: Path) -> None:
    for machine in (directory / "devices").glob("*"):
        if pid := machine_pid(machine):
            os.kill(pid, signal.SIGKILL)
            what = f"the virtual machine in {machine}"
            wait_until(partial(_is_gone, machine), what=what, timeout_s=30)


def _is_gone(directory: Path) -> bool:
    return not machine_pid(directory)


def _is_empty(group: Path) -> bool:
    return "populated 0" in (group / "cgroup.events").read_text()


def mount_points_below(text: str, directory: Path) -> tuple[str, ...]:
    """Mount points under a directory, the innermost first; `text` is a mountinfo file's."""
    points = []
    for line in text.splitlines():
        # The kernel writes blanks in paths as octal escapes.
        point = line.split()[4].encode().decode("unicode_escape")
        if Path(point).is_relative_to(directory):
            points.append(point)
    return tuple(reversed(points))


def _unmount_below(directory: Path) -> None:
    for point in mount_points_below(mountinfo(), directory):
        run(("umount", point))


def _detach_loops_below(directory: Path) -> None:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            path = backing.read_text().strip().removesuffix(" (deleted)")
        except OSError:  # detached while we looked
            continue
        if Path(path).is_relative_to(directory):
            run(("losetup", "--detach", f"/dev/{backing.parts[3]}"))


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    REGISTRY.mkdir(parents=True, exist_ok=True)
    with (REGISTRY / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
