"""A device whose /etc, /usr and /var may be changed: overlays in a mount namespace of its own.

The packages, groups and files that a test installs there are real for everything behind its sshd, and
gone with it. Needs root and overlayfs.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

HOSTNAME = "edgeform-test-device"

_ENTER = """
set -e
base=$1; name=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
for d in etc usr var; do
  mkdir -p "$base/$d/up" "$base/$d/work"
  mount -t overlay overlay -o "lowerdir=/$d,upperdir=$base/$d/up,workdir=$base/$d/work" "/$d"
done
hostname "$name"
exec "$@"
"""


def why_not() -> str:
    """Why there cannot be one here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root, for a mount namespace"
    probe = subprocess.run(
        ("unshare", "-m", "-u", "sh", "-c", _ENTER, "sh", "/mnt", HOSTNAME, "true"),
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if probe.returncode == 0 else f"no overlayfs here: {probe.stderr.strip()}"


def has_sudo() -> bool:
    """Whether there is a sudo to test with; this machine's own configuration is not used."""
    return shutil.which("sudo") is not None


def inside(directory: Path) -> tuple[str, ...]:
    """The words before a command that make it run there."""
    directory.mkdir(parents=True, exist_ok=True)
    return ("unshare", "-m", "-u", "sh", "-c", _ENTER, "sh", str(directory), HOSTNAME)


def demand_isolation(answer: Callable[[str], str]) -> None:
    """Nothing, if what `answer` runs its commands in is private; must be asked before any change.

    Asked of the device itself, because a test that believes itself isolated and is not changes the
    machine of whoever runs it.

    Raises:
        NotIsolated: /etc, /usr or /var of the device are those of this machine.
    """
    here = os.readlink("/proc/self/ns/mnt")
    there = answer("readlink /proc/self/ns/mnt").strip()
    if not there or there == here:
        raise NotIsolated(f"the device's mount namespace is ours: {there or 'unknown'}")
    for path in ("/etc", "/usr", "/var"):
        kind = answer(f"stat -f -c %T {path}").strip()
        if kind != "overlayfs":
            raise NotIsolated(f"{path} of the device is on {kind}, not on an overlay")
    if answer("hostname").strip() != HOSTNAME:
        raise NotIsolated("the device has this machine's host name")


class NotIsolated(Exception):
    """Going on would change the machine that the tests run on."""


def a_deb(directory: Path, name: str, version: str, *, depends: str = "") -> Path:
    """A real, empty Debian package with one file in it."""
    tree = directory / f"tree-{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    share = tree / "usr/share" / name
    share.mkdir(parents=True)
    (share / "version").write_text(version + "\n")
    lines = [
        f"Package: {name}",
        f"Version: {version}",
        "Architecture: all",
        "Maintainer: tests <tests@localhost>",
        "Description: made by a test",
    ]
    if depends:
        lines.insert(3, f"Depends: {depends}")
    (tree / "DEBIAN/control").write_text("\n".join(lines) + "\n")
    path = directory / f"{name}_{version}_all.deb"
    subprocess.run(
        ("dpkg-deb", "--root-owner-group", "-b", tree, path), check=True, capture_output=True
    )
    return path


def a_package_server(directory: Path, debs: tuple[Path, ...]) -> str:
    """The sources.list line of a directory with these packages."""
    entries = []
    for deb in debs:
        control = subprocess.run(
            ("dpkg-deb", "-f", deb), check=True, capture_output=True, text=True
        ).stdout
        digest = subprocess.run(
            ("sha256sum", deb), check=True, capture_output=True, text=True
        ).stdout.split()[0]
        entries.append(
            f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
        )
    (directory / "Packages").write_text("\n".join(entries))
    return f"deb [trusted=yes] file:{directory} ./\n"
