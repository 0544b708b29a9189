"""How to come back from a driver change: pure, worked out before anything is changed.

Packages are put back from .deb files that were saved first; files from copies; modules are unloaded if
they were not loaded before. Group membership stays: it harms nobody, and removing it could.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgeform.domain.drivers import DriverTuple
from edgeform.domain.observed import Facts

SYSCTL_FILE = "/etc/sysctl.d/60-edgeform.conf"
MODULES_FILE = "/etc/modules-load.d/edgeform.conf"


_FETCH = 'cd "$1" && exec apt-get download -q "$2"'
_KEEP = 'if [ -e "$1" ]; then cp -a "$1" "$2"; else rm -f "$2"; fi'
"""The second path becomes what the first one is, absence included."""
_INSTALL = (
    'cd "$1" && shift && for package; do'
    ' deb=$(ls -t ./"$package"_*.deb | head -n 1) && [ -n "$deb" ]'
    ' && dpkg --install --force-downgrade --force-hold "$deb" || exit 1; done'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Commands, in order.

    Args:
        save: run before the change; a failure of one in `optional` only means that this package
            cannot be put back.
        restore: run to come back. cannot: sentences about what will not be undone.
    """

    directory: str
    save: tuple[tuple[str, ...], ...]
    optional: frozenset[tuple[str, ...]]
    restore: tuple[tuple[str, ...], ...]
    cannot: tuple[str, ...]


def prepare(prefix: str, wanted: DriverTuple, facts: Facts) -> Saved:
    """What to save before the tuple is applied to a device with these facts, and how to restore it."""
    directory = f"{prefix}/drivers/previous"
    installed = dict(facts.packages)
    moving = tuple(
        p
        for p in wanted.packages
        if installed.get(p.name) and p.version not in {None, installed[p.name]}
    )
    new = tuple(p.name for p in wanted.packages if not installed.get(p.name))
    debs = tuple(
        ("sh", "-c", _FETCH, "save", directory, f"{p.name}={installed[p.name]}") for p in moving
    )
    files = (SYSCTL_FILE, MODULES_FILE, *(r.path for r in wanted.udev_rules))
    copies = tuple(("sh", "-c", _KEEP, "save", path, _copy(directory, path)) for path in files)
    put_back = tuple(("sh", "-c", _KEEP, "restore", _copy(directory, path), path) for path in files)
    return Saved(
        directory=directory,
        save=(("mkdir", "-p", directory), *debs, *copies),
        optional=frozenset(debs),
        restore=(
            *put_back,
            *_packages_back(directory, tuple(p.name for p in moving), new),
            *_modules_back(wanted, facts),
            *_sysctl_back(wanted, dict(facts.sysctl)),
            *((("udevadm", "control", "--reload"),) if wanted.udev_rules else ()),
        ),
        cannot=tuple(f"vendor role {r.name} has no way back" for r in wanted.vendor_roles),
    )


def _packages_back(
    directory: str, moved: tuple[str, ...], new: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    commands: list[tuple[str, ...]] = []
    if moved:
        commands.append(("sh", "-c", _INSTALL, "restore", directory, *moved))
    if new:
        commands.append(("dpkg", "--purge", "--force-hold", *new))
    return tuple(commands)


def _modules_back(wanted: DriverTuple, facts: Facts) -> tuple[tuple[str, ...], ...]:
    loaded = set(facts.modules)
    return tuple(("modprobe", "-r", m) for m in reversed(wanted.modules) if m not in loaded)


def _sysctl_back(wanted: DriverTuple, before: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        ("sysctl", "-q", "-w", f"{key}={before[key]}")
        for key, value in wanted.sysctl
        if before.get(key) not in {None, "", value}
    )


def _copy(directory: str, path: str) -> str:
    return f"{directory}/{path.strip('/').replace('/', '.')}"
