"""What this machine can do for a lab, and what would have to be installed for more."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.cgroup import mounts_of
from edgeform.lab.device import LabKind
from edgeform.lab.execution import Command, Progress, silent
from edgeform.lab.execution import run as run_command
from edgeform.lab.failure import LabError

CAP_NET_ADMIN = 12
CAP_SYS_CHROOT = 18
CAP_SYS_ADMIN = 21
CAP_MKNOD = 27
_NEEDED_CAPABILITIES = {
    "CAP_NET_ADMIN": CAP_NET_ADMIN,
    "CAP_SYS_CHROOT": CAP_SYS_CHROOT,
    "CAP_SYS_ADMIN": CAP_SYS_ADMIN,
    "CAP_MKNOD": CAP_MKNOD,
}
KILL_KERNEL = (5, 14)  # the first with cgroup.kill

NEEDED_FOR_NSPAWN = (
    "linux",
    "root",
    "capabilities",
    "cgroups",
    "overlay",
    "network namespaces",
    "systemd-nspawn",
    "mmdebstrap",
    "ip",
    "nsenter",
    "inotify",
)
NEEDED_FOR_VM = (
    *("linux", "root", "overlay", "mmdebstrap", "mkfs.ext4", "depmod", "qemu-img", "ssh"),
    "qemu-system-x86_64",
)
NEEDED_FOR_ARM_VM = (
    *NEEDED_FOR_VM,
    *("qemu-system-aarch64", "qemu-aarch64-static", "arch-test", "fdtput"),
)
NEEDED_FOR_CRASHDISK = ("root", "loop devices", "fuse", "qemu-storage-daemon", "mkfs.ext4")
NEEDED_FOR_FAULTS = ("root", "network namespaces", "nft", "tc", "tun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One thing that a lab may need.

    Attributes:
        reason: what was seen; why it is absent, where it is.
        install: the Debian packages that bring it; () where no package would.
    """

    name: str
    present: bool
    reason: str
    install: tuple[str, ...] = ()

    @property
    def install_command(self) -> str:
        return install_line(self.install)


def install_command(packages: tuple[str, ...]) -> Command:
    return ("apt-get", "install", "--yes", "--no-install-recommends", *packages)


def install_line(packages: tuple[str, ...]) -> str:
    """What a person types; "" for no packages."""
    return " ".join(("sudo", *install_command(packages))) if packages else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What was seen on the machine; judging it is pure."""

    system: str
    kernel: str
    uid: int
    effective_capabilities: int
    mountinfo: str
    filesystems: str
    loadable_overlay: bool
    inotify_instances: int
    sysctl_writable: bool
    existing_paths: frozenset[str]
    programs: frozenset[str]
    modules: frozenset[str]


PATHS = (
    "/dev/fuse",
    "/dev/loop-control",
    "/dev/net/tun",
    "/proc/self/ns/net",
    "/proc/sys/fs/binfmt_misc/qemu-aarch64",
)
PROGRAMS: tuple[tuple[str, str], ...] = (
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nsenter", "util-linux"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("nft", "nftables"),
    ("mkfs.ext4", "e2fsprogs"),
    ("qemu-storage-daemon", "qemu-system-common"),
    ("strace", "strace"),
)
QEMU: tuple[tuple[str, str], ...] = (
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("qemu-aarch64-static", "qemu-user-static"),
    ("qemu-img", "qemu-utils"),
    ("arch-test", "arch-test"),
    ("fdtput", "device-tree-compiler"),
    ("depmod", "kmod"),
)


def look(search_path: str) -> Looks:
    """See what the machine has; nothing is changed."""
    # An ordinary user's PATH hides where daemons and mkfs live.
    wide = f"{search_path}:/usr/local/sbin:/usr/sbin:/sbin"
    names = [name for name, _ in (*PROGRAMS, *QEMU)]
    status = _text("/proc/self/status")
    effective = next(
        (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0"
    )
    limit = "/proc/sys/fs/inotify/max_user_instances"
    return Looks(
        system=platform.system(),
        kernel=platform.release(),
        uid=os.geteuid(),
        effective_capabilities=int(effective, 16),
        mountinfo=_text("/proc/self/mountinfo"),
        filesystems=_text("/proc/filesystems"),
        loadable_overlay=any(Path("/lib/modules", platform.release()).glob("**/overlay.ko*")),
        inotify_instances=int(_text(limit) or 0),
        sysctl_writable=os.access(limit, os.W_OK),
        existing_paths=frozenset(path for path in PATHS if Path(path).exists()),
        programs=frozenset(name for name in names if shutil.which(name, path=wide)),
        modules=frozenset(
            name for name in ("asyncssh",) if importlib.util.find_spec(name) is not None
        ),
    )


def judge(looks: Looks) -> tuple[Capability, ...]:
    """Every capability, in the order in which the table shows them."""
    return (
        Capability(
            name="linux",
            present=looks.system == "Linux",
            reason=f"this is {looks.system} {looks.kernel}",
        ),
        Capability(
            name="root",
            present=looks.uid == 0,
            reason="running as root" if looks.uid == 0 else f"running as user {looks.uid}",
        ),
        _capabilities(looks),
        _cgroups(looks),
        _inotify(looks),
        _overlay(looks),
        _path(looks, "network namespaces", "/proc/self/ns/net"),
        _path(looks, "loop devices", "/dev/loop-control"),
        _path(looks, "fuse", "/dev/fuse"),
        _path(looks, "tun", "/dev/net/tun"),
        *(_program(looks, name, package) for name, package in PROGRAMS),
        *(_program(looks, name, package) for name, package in QEMU),
        Capability(
            name="binfmt for arm64",
            present="/proc/sys/fs/binfmt_misc/qemu-aarch64" in looks.existing_paths,
            reason="arm64 programs run under emulation"
            if "/proc/sys/fs/binfmt_misc/qemu-aarch64" in looks.existing_paths
            else "no interpreter is registered for arm64 programs",
            install=("qemu-user-static", "binfmt-support"),
        ),
        Capability(
            name="asyncssh",
            present="asyncssh" in looks.modules,
            reason="the Python package is installed"
            if "asyncssh" in looks.modules
            else "not installed; it comes with the extra: pip install 'edgeform[lab]'",
        ),
    )


def doctor(environment: Mapping[str, str]) -> tuple[Capability, ...]:
    """What this machine can do for a lab."""
    return judge(look(environment.get("PATH", os.defpath)))


def missing(capabilities: Iterable[Capability], needed: tuple[str, ...]) -> tuple[Capability, ...]:
    """Those of the needed capabilities that are absent."""
    return tuple(c for c in capabilities if c.name in needed and not c.present)


def best_lab(capabilities: Iterable[Capability]) -> LabKind:
    """The most real kind of device that this machine can run now."""
    return LabKind.ROOTLESS if missing(capabilities, NEEDED_FOR_NSPAWN) else LabKind.NSPAWN


def why_not_nspawn(capabilities: Iterable[Capability]) -> str:
    """One sentence per obstacle to systemd devices; "" where there is none."""
    return _obstacles(capabilities, NEEDED_FOR_NSPAWN)


def why_not_vm(capabilities: Iterable[Capability], needed: tuple[str, ...] = NEEDED_FOR_VM) -> str:
    """One sentence per obstacle to virtual machines; "" where there is none."""
    return _obstacles(capabilities, needed)


def _obstacles(capabilities: Iterable[Capability], needed: tuple[str, ...]) -> str:
    lines = []
    for gap in missing(capabilities, needed):
        remedy = f" (install it: {gap.install_command})" if gap.install else ""
        lines.append(f"{gap.name}: {gap.reason}{remedy}")
    return "\n".join(lines)


def table(capabilities: Iterable[Capability]) -> str:
    """What `edgeform lab doctor` prints."""
    listed = tuple(capabilities)
    width = max(len(c.name) for c in listed)
    lines = []
    for one in listed:
        mark = "yes" if one.present else "no "
        lines.append(f"{mark}  {one.name:<{width}}  {one.reason}")
        if not one.present and one.install:
            lines.append(f"     {'':<{width}}  {one.install_command}")
    kind = best_lab(listed)
    lines += ["", f"best lab here: {kind}"]
    if kind is not LabKind.NSPAWN:
        lines += ["systemd devices (nspawn) are not possible because of"]
        lines += [f"  {line}" for line in why_not_nspawn(listed).splitlines()]
    for machine, needed in (("x86_64", NEEDED_FOR_VM), ("arm64", NEEDED_FOR_ARM_VM)):
        obstacles = why_not_vm(listed, needed)
        lines.append(f"{machine} virtual machine here: {'no' if obstacles else 'yes'}")
        lines += [f"  {line}" for line in obstacles.splitlines()]
    return "\n".join(lines)


def packages_wanted(
    capabilities: Iterable[Capability], needed: tuple[str, ...] = NEEDED_FOR_NSPAWN
) -> tuple[str, ...]:
    """The Debian packages that would close the gaps."""
    names = [name for gap in missing(capabilities, needed) for name in gap.install]
    return tuple(dict.fromkeys(names))


def ensure_packages(
    environment: Mapping[str, str],
    *,
    install: bool,
    needed: tuple[str, ...] = NEEDED_FOR_NSPAWN,
    progress: Progress = silent,
) -> tuple[Capability, ...]:
    """What the machine can do, after installing what is missing where that is allowed.

    Raises:
        LabError: packages are missing and may not be installed; the hint is the command.
    """
    capabilities = doctor(environment)
    packages = packages_wanted(capabilities, needed)
    if not packages:
        return capabilities
    seen = {one.name: one.present for one in capabilities}
    if not (install and seen["root"] and Path("/etc/debian_version").exists()):
        raise LabError(
            f"The lab needs packages that are not installed: {', '.join(packages)}.",
            hint=f"Install them with:\n    {install_line(packages)}",
        )
    progress(f"installing {' '.join(packages)}")
    # RUNLEVEL=1: the packages' services stay off; the lab starts what it needs itself.
    quiet = ("env", "RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive")
    try:
        run_command((*quiet, *install_command(packages)), timeout_s=600)
    except LabError:
        progress("refreshing the package lists")
        run_command((*quiet, "apt-get", "update"), timeout_s=300)
        run_command((*quiet, *install_command(packages)), timeout_s=600)
    return doctor(environment)


def _capabilities(looks: Looks) -> Capability:
    lacking = [
        name
        for name, bit in _NEEDED_CAPABILITIES.items()
        if not looks.effective_capabilities & (1 << bit)
    ]
    reason = f"without {', '.join(lacking)}" if lacking else ", ".join(_NEEDED_CAPABILITIES)
    return Capability(name="capabilities", present=not lacking, reason=reason)


def _cgroups(looks: Looks) -> Capability:
    mounts = mounts_of(looks.mountinfo)
    numbers = looks.kernel.split("-")[0].split(".")
    kernel = tuple(int(number) for number in numbers[:2] if number.isdigit())
    if not mounts.unified:
        reason = f"mode {mounts.mode}: no cgroup v2 tree is mounted"
        return Capability(name="cgroups", present=False, reason=reason)
    if kernel < KILL_KERNEL:
        reason = f"kernel {looks.kernel} has no cgroup.kill (it came with 5.14)"
        return Capability(name="cgroups", present=False, reason=reason)
    return Capability(name="cgroups", present=True, reason=f"mode {mounts.mode}")


def _inotify(looks: Looks) -> Capability:
    enough = looks.inotify_instances >= 1024
    reason = f"{looks.inotify_instances} instances for each user"
    if not enough:
        reason += (
            "; the lab raises it"
            if looks.sysctl_writable
            else "; systemd devices need 1024 (sysctl fs.inotify.max_user_instances=8192)"
        )
    return Capability(name="inotify", present=enough or looks.sysctl_writable, reason=reason)


def _overlay(looks: Looks) -> Capability:
    if "overlay" in looks.filesystems.split():
        return Capability(name="overlay", present=True, reason="the kernel has it")
    if looks.loadable_overlay:
        return Capability(name="overlay", present=True, reason="the kernel loads it when asked")
    return Capability(
        name="overlay", present=False, reason="this kernel has no overlay file system"
    )


def _path(looks: Looks, name: str, path: str) -> Capability:
    present = path in looks.existing_paths
    return Capability(
        name=name, present=present, reason=f"{path} {'exists' if present else 'does not exist'}"
    )


def _program(looks: Looks, name: str, package: str) -> Capability:
    present = name in looks.programs
    reason = "installed" if present else f"no program of this name (Debian package {package})"
    return Capability(name=name, present=present, reason=reason, install=(package,))


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
