"""The first file system of a machine: a busybox that loads a few modules and moves on to the disk.

Written here, byte for byte, so that neither cpio nor initramfs-tools is needed. A machine's own files
(its keys, its name) ride in a second archive behind the shared one: the kernel unpacks both.
"""

import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SEED = "seed.tar"
SEED_PATHS_MODE = 0o700

# $modules is a list of file names in the order in which they must be loaded.
INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do $b insmod /modules/$module 2>/dev/null; done
n=0
while [ ! -b /dev/vda ] && [ $n -lt 600 ]; do $b usleep 50000; n=$((n+1)); done
$b mount -t ext4 -o rw,noatime /dev/vda /new || exec $b sh
if [ -f /seed.tar ]; then $b tar -x -f /seed.tar -C /new; fi
$b ip link set lo up
$b ip addr add 10.0.2.15/24 dev eth0 && $b ip link set eth0 up && $b ip route add default via 10.0.2.2
$b mount --move /dev /new/dev
$b mount --move /proc /new/proc
$b mount --move /sys /new/sys
exec $b switch_root /new /sbin/init
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or a directory (content None) of an initrd."""

    path: str
    content: bytes | None = None
    mode: int = 0o755


def archive(entries: Iterable[Entry]) -> bytes:
    """A cpio archive in the kernel's "newc" form, padded so that another may follow.

    Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    packed = io.BytesIO()
    for number, entry in enumerate((*entries, Entry(path="TRAILER!!!", content=b"", mode=0)), 1):
        content = entry.content or b""
        kind = 0o040000 if entry.content is None else 0o100000
        name = entry.path.encode() + b"\0"
        is_last = entry.path == "TRAILER!!!"
        fields = (
            *(number, 0 if is_last else kind | entry.mode, 0, 0, 1, 0, len(content)),
            *(0, 0, 0, 0, len(name), 0),
        )
        packed.write(b"070701" + b"".join(b"%08x" % field for field in fields))
        packed.write(name)
        _pad(packed, 4)
        packed.write(content)
        _pad(packed, 4)
    _pad(packed, 512)
    return packed.getvalue()


def base_initrd(busybox: bytes, modules: Sequence[tuple[str, bytes]]) -> bytes:
    """The part that all machines share; modules are (file name, content) in their order of loading."""
    directories = ("bin", "proc", "sys", "dev", "new", "modules")
    return archive(
        (
            *(Entry(path=name) for name in directories),
            Entry(path="bin/busybox", content=busybox),
            Entry(path="init", content=INIT.encode()),
            Entry(path="modules/order", content="\n".join(n for n, _ in modules).encode() + b"\n"),
            *(Entry(path=f"modules/{name}", content=content) for name, content in modules),
        )
    )


def seed_initrd(files: Sequence[tuple[str, bytes, int, int]]) -> bytes:
    """The part that makes the shared image one machine: (path, content, mode, owner) of its files.

    They are written again at each boot, before anything of the system runs.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for private in sorted({path.rpartition("/")[0] for path, *_ in files if "/.ssh/" in path}):
            owner = next(owner for path, _, _, owner in files if path.startswith(f"{private}/"))
            info = _info(private, SEED_PATHS_MODE, owner)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for path, content, mode, owner in files:
            info = _info(path, mode, owner)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive((Entry(path=SEED, content=packed.getvalue(), mode=0o600),))


def _info(path: str, mode: int, owner: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid = mode, owner, owner
    return info


def _pad(packed: io.BytesIO, multiple: int) -> None:
    packed.write(b"\0" * (-packed.tell() % multiple))
