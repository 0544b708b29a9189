"""How one systemd device is prepared and started, as text and commands; nothing is run here.

All mounts of a device are made in a mount namespace of its own, so they live exactly as long as its
processes: a device that is gone leaves no mount and no loop device behind.
"""

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.cgroup import DeviceCgroup
from edgeform.lab.device import DeviceOptions, DiskKind, SudoRule
from edgeform.lab.execution import Command
from edgeform.lab.network import BRIDGE, LabNetwork, in_namespace

STORE = "/var/lib/edgeform"
PYTHON_AT = "/opt/python"


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlan:
    """One systemd device before it exists.

    Attributes:
        index: counted from 1; decides address and machine name.
        directory: on the host; holds the layers, the console log, the store's image.
        layers: where the overlay's upper and work directories are (a tmpfs where `directory`
            itself is on an overlay, which cannot be an upper layer).
        python_source: directory to bind as the device's interpreter; "" for none.
    """

    index: int
    name: str
    directory: Path
    layers: Path
    template: Path
    network: LabNetwork
    cgroup: DeviceCgroup
    options: DeviceOptions
    python_source: str = ""

    @property
    def machine(self) -> str:
        return f"d{self.index}"

    @property
    def address(self) -> str:
        return self.network.address(self.index)

    @property
    def upper(self) -> Path:
        return self.layers / "upper"

    @property
    def merged(self) -> Path:
        return self.directory / "root"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def store_image(self) -> Path:
        return self.directory / "store.ext4"

    @property
    def console(self) -> Path:
        return self.directory / "console.log"

    @property
    def host_port(self) -> str:
        """The interface on the lab's bridge that nspawn makes for this device."""
        return f"vb-{self.machine}"


def overlay_command(plan: DevicePlan) -> Command:
    options = f"lowerdir={plan.template},upperdir={plan.upper},workdir={plan.layers / 'work'}"
    return ("mount", "-t", "overlay", "overlay", "-o", options, str(plan.merged))


def store_commands(plan: DevicePlan) -> tuple[Command, ...]:
    """Mounts the size-limited store, where one is wanted."""
    if not plan.options.store_mb:
        return ()
    match plan.options.store_kind:
        case DiskKind.EXT4:
            return (("mount", "-o", "loop", str(plan.store_image), str(plan.store)),)
        case DiskKind.TMPFS:
            size = f"size={plan.options.store_mb}m,mode=755"
            return (("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(plan.store)),)


def upper_files(plan: DevicePlan, *, public_key: str) -> tuple[tuple[str, str, int], ...]:
    """(path, text, mode) of the files that make the template this device."""
    address = f"Address={plan.address}/24\nGateway={plan.network.gateway}\nLinkLocalAddressing=no\n"
    machine_id = hashlib.sha256(f"{plan.network.lab_id}/{plan.name}".encode()).hexdigest()[:32]
    files = [
        ("etc/systemd/network/10-lab.network", f"[Match]\nName=host0\n[Network]\n{address}", 0o644),
        ("etc/hostname", f"{plan.name}\n", 0o644),
        ("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {plan.name}\n", 0o644),
        ("etc/machine-id", f"{machine_id}\n", 0o444),
    ]
    if plan.options.day_zero:
        rules = "PermitRootLogin yes\nPasswordAuthentication yes\n"
        # Sorted before the template's lab.conf: sshd takes the first value it reads.
        files.append(("etc/ssh/sshd_config.d/00-day-zero.conf", rules, 0o644))
        return tuple(files)
    files += [
        ("root/.ssh/authorized_keys", f"{public_key}\n", 0o600),
        ("home/edge/.ssh/authorized_keys", f"{public_key}\n", 0o600),
    ]
    match plan.options.sudo:
        case SudoRule.NO_PASSWORD:
            pass
        case SudoRule.PASSWORD:
            files.append(("etc/sudoers.d/edge", "edge ALL=(ALL) ALL\n", 0o440))
        case SudoRule.NONE:
            files.append(("etc/sudoers.d/edge", "# edge may do nothing as root\n", 0o440))
    return tuple(files)


def inside_commands(plan: DevicePlan) -> tuple[Command, ...]:
    """Changes made by the template's own programs, in a chroot, before the first boot."""
    options = plan.options
    commands: list[Command] = []
    if options.day_zero:
        # Removing the home by hand: userdel -r would warn about a mail spool.
        commands += [
            ("userdel", "edge"),
            ("rm", "-r", "/home/edge"),
            ("rm", "/etc/sudoers.d/edge"),
        ]
    else:
        commands.append(("chown", "-R", "edge:edge", "/home/edge"))
    if options.python:
        commands.append(("sh", "-c", "rm -f /usr/bin/python3 /usr/bin/python3.*"))
    if plan.python_source:
        commands += [
            ("ln", "-s", f"{PYTHON_AT}/bin/python3", "/usr/bin/python3"),
            # Interpreters built with a shared libpython carry the path of the machine they grew on.
            ("sh", "-c", f"echo {PYTHON_AT}/lib > /etc/ld.so.conf.d/python.conf && ldconfig"),
        ]
    return tuple(commands)


def passwords(plan: DevicePlan) -> str:
    """The lines that chpasswd reads."""
    if plan.options.day_zero:
        return f"root:{plan.options.password}\n"
    if plan.options.sudo is SudoRule.PASSWORD:
        return f"edge:{plan.options.password}\n"
    return ""


def nspawn_command(plan: DevicePlan) -> Command:
    """Boots the device; ends with status 133 when the device asks for a reboot."""
    binds = []
    if plan.options.store_mb:
        binds.append(f"--bind={plan.store}:{STORE}")
    if plan.python_source:
        binds.append(f"--bind-ro={plan.python_source}:{PYTHON_AT}")
    for bind in plan.options.binds:
        word = "--bind" if bind.writable else "--bind-ro"
        binds.append(f"{word}={bind.source}:{bind.target}")
    return (
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={plan.merged}",
        f"--machine={plan.machine}",
        f"--hostname={plan.name}",
        f"--network-bridge={BRIDGE}",
        # No machined and no unit manager is assumed on the host.
        "--register=no",
        "--keep-unit",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        *binds,
    )


def device_script(plan: DevicePlan) -> str:
    """The shell text of one power cycle, run in fresh mount namespace and the lab's network namespace.

    nspawn refuses a /run that lies on disk and misreads hybrid cgroup trees: it gets a /run of its own,
    and the v2 tree alone. The loop is the device's firmware: a reboot starts it again.
    """
    unified = plan.cgroup.unified
    lines = ["set -e", f"echo $$ > {shlex.quote(str(unified / 'loop' / 'cgroup.procs'))}"]
    lines += [
        f"echo $$ > {shlex.quote(str(group / 'cgroup.procs'))}" for _, group in plan.cgroup.legacy
    ]
    mounts: list[Command] = [overlay_command(plan), *store_commands(plan)]
    mounts.append(("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"))
    lines += [shlex.join(command) for command in mounts]
    if plan.cgroup.mounts.unified != "/sys/fs/cgroup":
        lines.append(shlex.join(("mount", "--bind", plan.cgroup.mounts.unified, "/sys/fs/cgroup")))
    procs = f"/sys/fs/cgroup/{plan.cgroup.below}/machine/cgroup.procs"
    boot = shlex.join(nspawn_command(plan))
    lines += [
        "while :; do",
        "  status=0",
        f"  ( echo 0 > {procs}; exec {boot} ) || status=$?",
        '  [ "$status" = 133 ] || exit "$status"',
        "done",
    ]
    return "\n".join(lines) + "\n"


def start_command(plan: DevicePlan) -> Command:
    """Switches the device on; it runs until the device is off."""
    private = ("unshare", "--mount", "--propagation", "private")
    return in_namespace(plan.network, (*private, "sh", "-c", device_script(plan)))


def prepare_command(plan: DevicePlan) -> Command:
    """Runs `inside_commands` in the device's merged tree; passwords are read from stdin."""
    steps = [shlex.join(overlay_command(plan))]
    if plan.python_source:
        at = f"{plan.merged}{PYTHON_AT}"
        steps.append(shlex.join(("mkdir", "-p", at)))
        steps.append(shlex.join(("mount", "--bind", plan.python_source, at)))
    chroot = ("chroot", str(plan.merged))
    steps += [shlex.join((*chroot, *command)) for command in inside_commands(plan)]
    if passwords(plan):
        steps.append(shlex.join((*chroot, "chpasswd")))
    script = "\n".join(("set -e", *steps))
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
