"""What all virtual machines of an architecture share: a kernel, an initrd and the image of a disk.

The disk holds the same system as the template of the systemd devices, and the kernel's modules that a
device needs. It is built once from the mirrors of this host's apt, kept in the lab's cache under the
digest of its recipe, and never changed: machines write to a disk of their own on top of it.
"""

import hashlib
import json
import lzma
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform.lab.execution import Command, Progress, run, silent
from edgeform.lab.failure import LabError
from edgeform.lab.template import (
    Recipe,
    apt_options,
    cache_directory,
    ensure_template,
    locked,
    recipe_of_host,
    sources_of_host,
)
from edgeform.lab.vm_guest import BOOT_MODULES, Guest
from edgeform.lab.vm_initrd import INIT, base_initrd

DISK_SIZE = "4G"  # sparse: it takes what is written
FORMAT = 1
BINFMT = "/proc/sys/fs/binfmt_misc"
# The first bytes of an ELF program for 64-bit ARM, and the mask that leaves out what may differ.
AARCH64_MAGIC = (
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
)
UNDER_EMULATION = rf"""set -e
mountpoint -q {BINFMT} || mount -t binfmt_misc binfmt_misc {BINFMT}
if [ ! -e {BINFMT}/qemu-aarch64 ]; then
  own={BINFMT}/edgeform-lab-aarch64
  [ -e $own ] || printf '%s' ':edgeform-lab-aarch64:M::{AARCH64_MAGIC}:/usr/bin/qemu-aarch64-static:FPOC' > {BINFMT}/register
  trap 'echo -1 > $own' EXIT
fi
"$@"
"""  # noqa: E501 - what is registered is one line
"""Runs a command while the kernel starts arm64 programs under qemu; in a mount namespace of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmImage:
    """The shared files of one architecture; nobody writes to them."""

    kernel: Path
    initrd: Path
    disk: Path


def image_digest(recipe: Recipe, guest: Guest) -> str:
    """Its name in the cache: 16 hex digits over all that decides what the image holds."""
    decides = [FORMAT, recipe.digest, guest.kernel, BOOT_MODULES, guest.modules, INIT, DISK_SIZE]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]


def ensure_image(
    environment: Mapping[str, str], guest: Guest, *, progress: Progress = silent
) -> VmImage:
    """The image of that architecture, building it where the cache has none.

    Raises:
        LabError: it has to be built, and this is not root, or a program is missing, or apt failed.
    """
    recipe = recipe_of_host(Path("/etc/os-release").read_text(), guest.machine)
    images = cache_directory(environment) / "machines"
    finished = images / image_digest(recipe, guest)
    image = VmImage(
        kernel=finished / "vmlinuz", initrd=finished / "initrd", disk=finished / "disk.ext4"
    )
    if finished.is_dir():
        return image
    if os.geteuid() != 0:
        raise LabError(
            f"The image of the {guest.machine} machine has to be built once, which needs root.",
            hint="Build it:\n    sudo --preserve-env=HOME edgeform lab up 1 --kind vm",
        )
    images.mkdir(parents=True, exist_ok=True)
    with locked(images / f"{finished.name}.lock", progress):
        if not finished.is_dir():
            for left in images.glob(f"{finished.name}.part-*"):
                shutil.rmtree(left, ignore_errors=True)
            template = ensure_template(
                environment, progress=progress, recipe=recipe, launcher=_launcher(guest)
            )
            _build(recipe, guest, template, finished, progress)
    return image


def _launcher(guest: Guest) -> Command:
    """What stands before a command that runs the guest's own programs on this host."""
    if guest.machine == platform.machine():
        return ()
    return ("unshare", "--mount", "sh", "-c", UNDER_EMULATION, "sh")


def _build(
    recipe: Recipe, guest: Guest, template: Path, finished: Path, progress: Progress
) -> None:
    with tempfile.TemporaryDirectory(
        prefix=f"{finished.name}.part-", dir=finished.parent
    ) as made_in:
        work = Path(made_in)
        made = work / "image"
        made.mkdir()
        progress(f"fetching {guest.kernel}")
        unpacked = _fetch(recipe, guest, work)
        version = next((unpacked / "lib/modules").iterdir()).name
        shutil.copyfile(unpacked / f"boot/vmlinuz-{version}", made / "vmlinuz")
        run(("depmod", "-b", str(unpacked), version))
        wanted = tuple(_modules(unpacked, version, BOOT_MODULES))
        busybox = (unpacked / "bin/busybox").read_bytes()
        initrd = base_initrd(busybox, [(_plain(path), _content(path)) for path in wanted])
        (made / "initrd").write_bytes(initrd)
        # A mount of modules from their own place, so that udev finds them as on any Debian.
        kept = work / "kept"
        _keep(unpacked, version, (*BOOT_MODULES, *guest.modules), kept)
        progress("writing the disk's image")
        _write_disk(template, kept, made / "disk.ext4")
        os.sync()
        made.rename(finished)
    progress(f"the image of the {guest.machine} machine is ready")


def _fetch(recipe: Recipe, guest: Guest, work: Path) -> Path:
    """The kernel's package and a busybox, unpacked; apt's own state of this host is not touched."""
    state = work / "apt"
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (state / name).mkdir(parents=True)
    (state / "sources.list").write_text(sources_of_host(recipe.suite))
    settings = (
        "APT::Sandbox::User=root",
        f"APT::Architecture={guest.architecture}",
        f"APT::Architectures={guest.architecture}",
        f"Dir::Etc::SourceList={state / 'sources.list'}",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={state / 'lists'}",
        "Dir::State::Status=/dev/null",
        f"Dir::Cache={state / 'cache'}",
        "Acquire::Languages=none",
        *(_assignment(line) for line in apt_options(run(("apt-config", "dump")))),
    )
    options = tuple(word for setting in settings for word in ("-o", setting))
    run(("apt-get", *options, "-qq", "update"), timeout_s=300)
    said = run(("apt-cache", *options, "depends", "--important", guest.kernel))
    names = [line.split()[1] for line in said.splitlines() if "Depends: linux-image" in line]
    if len(names) != 1:
        raise LabError(f"apt does not know which kernel {guest.kernel} is:\n{said}")
    fetch = shlex.join(("apt-get", *options, "-qq", "download", names[0], "busybox-static"))
    run(("sh", "-c", f'cd "$1" && {fetch}', "sh", str(state / "packages")), timeout_s=600)
    unpacked = work / "unpacked"
    for package in sorted((state / "packages").glob("*.deb")):
        run(("dpkg-deb", "-x", str(package), str(unpacked)), timeout_s=300)
    return unpacked


def _assignment(line: str) -> str:
    """An apt.conf line as `-o` wants it: `A::B "c";` is `A::B=c`."""
    name, _, value = line.rstrip(";").partition(" ")
    return f"{name}={value.strip().strip(chr(34))}"


def _modules(unpacked: Path, version: str, names: Iterable[str]) -> Iterable[Path]:
    """The modules' files with all they depend on, in the order in which they must be loaded."""
    seen: dict[Path, None] = {}
    base = ("modprobe", "-d", str(unpacked), "-S", version, "--show-depends")
    for name in names:
        for line in run((*base, name)).splitlines():
            word, _, rest = line.partition(" ")
            if word == "insmod":
                seen[Path(rest.split()[0])] = None
    return seen


def _plain(module: Path) -> str:
    return module.name.removesuffix(".xz")


def _content(module: Path) -> bytes:
    """The module itself: busybox loads none that is compressed."""
    packed = module.read_bytes()
    return lzma.decompress(packed) if module.suffix == ".xz" else packed


def _keep(unpacked: Path, version: str, names: tuple[str, ...], kept: Path) -> None:
    """Copy those modules, and the indices over them, to where a device looks for them."""
    source = unpacked / "lib/modules" / version
    target = kept / "usr/lib/modules" / version
    for path in _modules(unpacked, version, names):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(source / name, target / name)
    run(("depmod", "-b", str(kept / "usr"), version))


def _write_disk(template: Path, kept: Path, disk: Path) -> None:
    """An ext4 image of the template with the modules in it; the template itself stays as it is."""
    at = kept.with_name("merged")
    at.mkdir()
    with disk.open("wb") as handle:
        handle.truncate(0)
    layers = f"lowerdir={kept}:{template}"
    mount = ("mount", "-t", "overlay", "overlay", "-o", layers, str(at))
    make = (
        *("mkfs.ext4", "-q", "-F", "-L", "root", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
        *("-d", str(at), str(disk), DISK_SIZE),
    )
    script = f"{shlex.join(mount)} && {shlex.join(make)}"
    run(
        ("unshare", "--mount", "--propagation", "private", "sh", "-c", script),
        timeout_s=300,
    )
