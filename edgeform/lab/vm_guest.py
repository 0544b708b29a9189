"""What a virtual machine is made of, as values and command lines; nothing is run here.

Machines are emulated (TCG): they need neither KVM nor root, and say nothing about speed. Their power is
real: it is the qemu process, and killing it loses what the guest had not yet flushed.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.execution import Command
from edgeform.lab.failure import LabMisused

STICK_BUS = "usb.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One architecture that can be emulated.

    Attributes:
        machine: the name that `uname -m` gives, and edgeform's own.
        kernel: the Debian meta package of the kernel.
        board: qemu's arguments for machine and processor.
        modules: kept of the kernel's modules, with all they need, beside those of the boot.
    """

    architecture: str
    machine: str
    kernel: str
    program: str
    board: tuple[str, ...]
    console: str
    modules: tuple[str, ...]


X86_64 = Guest(
    architecture="amd64",
    machine="x86_64",
    # The ordinary kernel: the cloud one has no USB.
    kernel="linux-image-amd64",
    program="qemu-system-x86_64",
    # numpy's wheels demand SSE4.2; what is newer only makes emulation slower.
    board=("-M", "q35", "-cpu", "Nehalem"),
    console="ttyS0",
    modules=(
        *("xhci_pci", "usb_storage", "uas", "sd_mod", "vfat", "nls_cp437", "nls_ascii", "exfat"),
        *("vivid", "snd_aloop", "sch_netem", "loop", "overlay"),
    ),
)
AARCH64 = Guest(
    architecture="arm64",
    machine="aarch64",
    kernel="linux-image-cloud-arm64",
    program="qemu-system-aarch64",
    # The processor of a Raspberry Pi 4.
    board=("-M", "virt", "-cpu", "cortex-a72"),
    console="ttyAMA0",
    modules=("loop", "overlay"),
)
GUESTS = (X86_64, AARCH64)
NEEDLESS = (
    # The initrd has set the one address that user-mode networking knows.
    *("systemd-networkd.service", "systemd-networkd.socket", "systemd-network-generator.service"),
    # Logins are kept from it below: under emulation a session of its own takes seconds.
    "systemd-logind.service",
    *("getty@tty1.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount"),
    *("sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount"),
)
"""Units that no test asks for; under emulation each costs seconds of the boot."""
LOGIN_SESSION = b"session required pam_unix.so\n"
"""For /etc/pam.d/common-session: Debian's without pam_systemd."""
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")


def guest_of(machine: str) -> Guest:
    """The guest of that architecture.

    Raises:
        LabMisused: there is none.
    """
    for guest in GUESTS:
        if guest.machine == machine:
            return guest
    known = ", ".join(guest.machine for guest in GUESTS)
    raise LabMisused(f"No virtual machine is known for {machine!r}; there are: {known}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What an arm64 machine's device tree says it is, read by whoever probes it."""

    model: str
    compatible: tuple[str, ...]


RASPBERRY_PI_5 = Board(
    model="Raspberry Pi 5 Model B Rev 1.0", compatible=("raspberrypi,5-model-b", "brcm,bcm2712")
)
JETSON_ORIN_NANO = Board(
    model="NVIDIA Jetson Orin Nano Developer Kit",
    compatible=("nvidia,p3768-0000+p3767-0005", "nvidia,tegra234"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmOptions:
    """In what way a machine differs from the ordinary one.

    Attributes:
        board: None leaves qemu's own device tree; only arm64 machines have one.
        images: files that are disks of their own, /dev/vdb and on; the machine can only read them.
    """

    guest: Guest = X86_64
    memory_mb: int = 640
    board: Board | None = None
    images: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.board is not None and self.guest is not AARCH64:
            raise LabMisused("Only an arm64 machine has a device tree that can be changed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class VmPlan:
    """One machine before it is switched on: its files, all in one directory, and its port."""

    name: str
    directory: Path
    kernel: Path
    base_initrd: Path
    base_disk: Path
    port: int
    options: VmOptions

    @property
    def disk(self) -> Path:
        return self.directory / "disk.qcow2"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    @property
    def console(self) -> Path:
        return self.directory / "console.log"

    @property
    def monitor(self) -> Path:
        return self.directory / "qmp"

    @property
    def pid_file(self) -> Path:
        return self.directory / "qemu.pid"

    @property
    def device_tree(self) -> Path:
        return self.directory / "board.dtb"


def board_command(plan: VmPlan) -> Command:
    """The machine without its ways in and out: what also decides its device tree."""
    options = plan.options
    return (
        options.guest.program,
        *options.guest.board,
        "-accel",
        # Unlimited, the translation cache alone would take a gigabyte.
        "tcg,tb-size=128",
        # The guest's time is counted in its own instructions (2 ns each), so that a busy host slows
        # its clock too: what waits in the guest for at most so long is not failed by its neighbours.
        "-icount",
        "shift=1,sleep=on",
        "-m",
        str(options.memory_mb),
        "-nodefaults",
        "-display",
        "none",
    )


def device_tree_commands(plan: VmPlan) -> tuple[Command, ...]:
    """Write the device tree that names the board; none where qemu's own will do."""
    board = plan.options.board
    if board is None:
        return ()
    guest, tree = plan.options.guest, str(plan.device_tree)
    machine = tuple(
        f"{word},dumpdtb={tree}" if word == "virt" else word for word in board_command(plan)
    )
    # The virtual machine's own name stays the last: its drivers answer to it.
    names = (*board.compatible, "linux,dummy-virt")
    if guest is not AARCH64:
        raise AssertionError(guest)
    return (
        machine,
        ("fdtput", "-t", "s", tree, "/", "model", board.model),
        ("fdtput", "-t", "s", tree, "/", "compatible", *names),
    )


def disk_command(plan: VmPlan) -> Command:
    """Make the disk: what the machine writes, over an image that all machines share."""
    base = ("-b", str(plan.base_disk), "-F", "raw")
    return ("qemu-img", "create", "-q", "-f", "qcow2", *base, str(plan.disk))


def qemu_command(plan: VmPlan, *, snapshot: str = "") -> Command:
    """Switches the machine on; it is on for as long as this runs.

    Args:
        snapshot: go on from where `savevm` was called instead of booting.
    """
    guest = plan.options.guest
    words = " ".join(
        (
            *("quiet", "loglevel=3", f"console={guest.console}", "root=/dev/vda", "net.ifnames=0"),
            # A guest that waits for its turn on a busy host is not locked up.
            *("nowatchdog", "mitigations=off", "audit=0", "systemd.getty_auto=no"),
            *(f"systemd.mask={unit}" for unit in NEEDLESS),
        )
    )
    forward = f"hostfwd=tcp:127.0.0.1:{plan.port}-:22"
    arguments = [
        *board_command(plan),
        *("-kernel", str(plan.kernel), "-initrd", str(plan.initrd), "-append", words),
        # A flush of the guest is a flush here; what it did not flush goes with the process.
        *("-drive", f"if=none,id=disk,file={plan.disk},format=qcow2,cache=writeback"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *(
            word
            for place, image in enumerate(plan.options.images)
            for word in _read_only(place, image)
        ),
        *("-netdev", f"user,id=net,{forward}", "-device", "virtio-net-pci,netdev=net,romfile="),
        # Without it the first boot waits for entropy.
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{plan.console}"),
        *("-qmp", f"unix:{plan.monitor},server=on,wait=off"),
        *("-pidfile", str(plan.pid_file)),
    ]
    if guest is X86_64:
        arguments += ["-device", "qemu-xhci,id=usb"]
    if plan.options.board is not None:
        arguments += ["-dtb", str(plan.device_tree)]
    if snapshot:
        arguments += ["-loadvm", snapshot]
    return tuple(arguments)


def _read_only(place: int, image: Path) -> Command:
    drive = f"if=none,id=image{place},file={image},format=raw,readonly=on"
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive=image{place}")


def seed_files(
    plan: VmPlan, *, public_key: str, host_key: bytes
) -> tuple[tuple[str, bytes, int, int], ...]:
    """(path, content, mode, owner) of the files that make the shared image this machine."""
    machine_id = hashlib.sha256(f"{plan.directory}/{plan.name}".encode()).hexdigest()[:32]
    login = f"{public_key}\n".encode()
    return (
        ("etc/hostname", f"{plan.name}\n".encode(), 0o644, 0),
        ("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {plan.name}\n".encode(), 0o644, 0),
        ("etc/machine-id", f"{machine_id}\n".encode(), 0o444, 0),
        ("etc/pam.d/common-session", LOGIN_SESSION, 0o644, 0),
        ("etc/resolv.conf", b"nameserver 10.0.2.3\n", 0o644, 0),
        ("etc/ssh/ssh_host_ed25519_key", host_key, 0o600, 0),
        ("root/.ssh/authorized_keys", login, 0o600, 0),
        ("home/edge/.ssh/authorized_keys", login, 0o600, 1000),
    )
