"""The real driver transaction over a dpkg that keeps its packages on a disk in memory.

Like dpkg, it writes down that a package is half installed before it unpacks it, and that it is installed after.
"""

import contextlib
import posixpath
from types import SimpleNamespace

from edgeform_device import command, debs
from edgeform_wire.driverset import DriverSet

FOLDER = "/dpkg"
DIGEST = "sha256:" + "d" * 64
DRIVER = SimpleNamespace(
    name="npu", version="1.0", digest=DIGEST, files=(SimpleNamespace(path="npu.deb"),),
    metadata={"packages": [{"name": "npu", "version": "1.0", "arch": "all", "file": "npu.deb"}]},
)  # fmt: skip
WORKS, FAILS = ("test", "-c", "/dev/npu"), ("false",)


def driver_set(verify=WORKS):
    return DriverSet(artifact=DIGEST, held=(), verify=verify, undo="packages", reboot=False)


def packages(disk):
    """(name -> status) of what dpkg knows of."""
    names = disk.names(FOLDER) if disk.exists(FOLDER) else ()
    return {n: (disk.read(f"{FOLDER}/{n}") or b"").decode() for n in names if "." not in n}


@contextlib.contextmanager
def drivers_on(world):
    """The device's `Drivers`, whose commands are answered from the world's own disk."""
    real = debs.command
    debs.command = SimpleNamespace(
        attempt=lambda argv, _timeout_s: _answer(world.disk, argv),
        CommandFailed=command.CommandFailed,
    )
    try:
        yield debs.Drivers(world.disk, world.layout, world.clock.boot)
    finally:
        debs.command = real


def _answer(disk, argv):
    """Exit code, output, errors."""
    if argv in (WORKS, FAILS):
        return int(argv == FAILS), "", ""
    names = [posixpath.basename(w).split(".")[0] for w in argv[1:] if w[:1] != "-"]
    known = packages(disk)
    if argv[0] == "dpkg-query":
        shown = "".join(f"{n}\t1.0\t{known[n]}\n" for n in names if n in known)
        return int(not shown), shown, ""
    disk.mkdir(FOLDER)
    for name in names:
        disk.write_file(f"{FOLDER}/{name}", b"half-installed")
        if "--install" in argv:
            disk.write_file(f"{FOLDER}/{name}", b"installed")
        else:
            disk.remove(f"{FOLDER}/{name}")
    return 0, "", ""
