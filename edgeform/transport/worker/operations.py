"""pyinfra operations of the provision lane: each looks at the device and changes only what differs.

Text files are written beside the old one and renamed. `files.put` is not used: it writes into the good file.
"""

import re
from collections.abc import Iterator

from pyinfra import host
from pyinfra.api import OperationError, QuoteString, StringCommand, operation
from pyinfra.facts.deb import DebPackages
from pyinfra.facts.server import Users
from pyinfra.operations import apt, server

from edgeform.transport.worker.facts import (
    DebFiles,
    FileText,
    HasDpkg,
    HasUdev,
    HeldPackages,
    ModulesPresent,
    SysctlValues,
    script,
)

LOCK_WAIT = "-o DPkg::Lock::Timeout=300"
"""Unattended upgrades hold dpkg's lock for minutes."""

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]*(:[a-z0-9-]+)?(=[A-Za-z0-9.+~:-]+)?")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SYSCTL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./*-]*")

WRITE_SCRIPT = """
set -e
umask 022
mkdir -p "${1%/*}"
cat > "$1.edgeform-new"
sync "$1.edgeform-new"
mv -f "$1.edgeform-new" "$1"
"""

Commands = Iterator[StringCommand | str]


@operation()
def debian_packages(packages: list[str]) -> Commands:
    """Packages from the device's own package servers, each `name` or `name=version`."""
    _demand_debian()
    _demand(_PACKAGE, packages, "package")
    installed = host.get_fact(DebPackages)
    if any(not _is_installed(package, installed) for package in packages):
        # Old lists are better than none: what they lack, the installation will name.
        yield "DEBIAN_FRONTEND=noninteractive apt-get -q update || true"
    yield from apt.packages._inner(  # noqa: SLF001 - pyinfra's way to compose operations
        packages=packages,
        no_recommends=True,
        allow_downgrades=True,
        extra_install_args=f"--allow-change-held-packages {LOCK_WAIT}",
    )


@operation()
def debian_files(directory: str, packages: list[str]) -> Commands:
    """Packages from .deb files that lie on the device, dependencies among them included."""
    _demand_debian()
    found = host.get_fact(DebFiles, directory=directory)
    for package in packages:
        name, _, version = package.partition("=")
        if name not in found or (version and found[name][0] != version):
            raise OperationError(f"{directory} holds no .deb file of {package}.")
    installed = host.get_fact(DebPackages)
    paths = [
        path
        for name, (version, path) in sorted(found.items())
        if version not in installed.get(name, ())
    ]
    if paths:
        yield StringCommand(
            apt.noninteractive_apt(
                "install --no-install-recommends --allow-downgrades "
                f"--allow-change-held-packages {LOCK_WAIT}"
            ),
            *(QuoteString(path) for path in paths),
        )


@operation()
def held_packages(packages: list[str]) -> Commands:
    """Packages that apt will not upgrade by itself."""
    _demand_debian()
    _demand(_PACKAGE, packages, "package")
    held = host.get_fact(HeldPackages)
    missing = [package for package in packages if package not in held]
    if missing:
        yield StringCommand("apt-mark", "hold", *(QuoteString(package) for package in missing))


@operation()
def kernel_modules(modules: list[str], path: str) -> Commands:
    """Modules that are loaded now and at every boot."""
    yield from _text_file(path, "".join(f"{module}\n" for module in modules))
    present = host.get_fact(ModulesPresent, modules=modules)
    missing = [module for module in modules if module not in present]
    if missing:
        yield StringCommand("modprobe", "-a", *(QuoteString(module) for module in missing))


@operation()
def udev_rules(rules: list[tuple[str, str]]) -> Commands:
    """Rules files below /etc/udev/rules.d, read and applied if udev runs."""
    _demand(_FILE_NAME, [name for name, _ in rules], "udev rules file")
    wrote = False
    for name, content in rules:
        file_name = name if name.endswith(".rules") else f"{name}.rules"
        for command in _text_file(f"/etc/udev/rules.d/{file_name}", content):
            wrote = True
            yield command
    if wrote and host.get_fact(HasUdev):
        yield "udevadm control --reload"
        yield "udevadm trigger"


@operation()
def user_groups(user: str, groups: list[str]) -> Commands:
    """A system user that is a member of these groups; what is missing of it is made."""
    for group in groups:
        yield from server.group._inner(group=group, system=True)  # noqa: SLF001 - as above
    known = host.get_fact(Users)
    if user not in known:
        yield StringCommand(
            "useradd",
            "-r",
            "-M",
            "-d",
            "/nonexistent",
            "-s",
            "/usr/sbin/nologin",
            QuoteString(user),
        )
    mine = known.get(user, {}).get("groups", [])
    missing = [group for group in groups if group not in mine]
    if missing:
        yield StringCommand("usermod", "-aG", QuoteString(",".join(missing)), QuoteString(user))


@operation()
def kernel_parameters(values: list[tuple[str, str]], path: str) -> Commands:
    """Kernel parameters, live and at every boot."""
    _demand(_SYSCTL, [key for key, _ in values], "kernel parameter")
    yield from _text_file(path, "".join(f"{key} = {value}\n" for key, value in values))
    live = host.get_fact(SysctlValues, keys=[key for key, _ in values])
    for key, value in values:
        if live.get(key) != " ".join(value.split()):
            yield StringCommand("sysctl", "-q", "-w", QuoteString(f"{key}={value}"))


def _text_file(path: str, content: str) -> Commands:
    if host.get_fact(FileText, path=path) != content:
        command = script(WRITE_SCRIPT, path)
        command.connector_arguments["_stdin"] = content
        yield command


def _is_installed(package: str, installed: dict[str, set[str]]) -> bool:
    name, _, version = package.partition("=")
    versions = installed.get(name.partition(":")[0], set())
    return version in versions if version else bool(versions)


def _demand_debian() -> None:
    if not host.get_fact(HasDpkg):
        raise OperationError(
            "This device has no dpkg and apt-get: Debian packages cannot be installed there."
        )


def _demand(form: re.Pattern[str], names: list[str], what: str) -> None:
    for name in names:
        if not form.fullmatch(name):
            raise OperationError(f"{name!r} is no name of a {what}.")
