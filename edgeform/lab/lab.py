"""One lab, whatever its devices are made of: up, status, down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, assert_never

from edgeform.lab.device import LabDevice, LabKind
from edgeform.lab.doctor import (
    NEEDED_FOR_NSPAWN,
    NEEDED_FOR_VM,
    best_lab,
    doctor,
    ensure_packages,
    missing,
    why_not_nspawn,
)
from edgeform.lab.execution import Command, Progress, silent
from edgeform.lab.failure import LabError, LabMisused
from edgeform.lab.nspawn import NspawnLab
from edgeform.lab.rootless_lab import RootlessLab
from edgeform.lab.vm_lab import VmLab

DEFAULT_DIRECTORY = Path(".lab")


class Lab(Protocol):
    """What every kind of lab can do; devices are named, and `exec` is not over SSH."""

    @property
    def known_hosts(self) -> Path: ...
    def up(self, names: tuple[str, ...]) -> tuple[LabDevice, ...]: ...
    def attach(self) -> bool: ...
    def devices(self) -> tuple[LabDevice, ...]: ...
    def is_on(self, name: str) -> bool: ...
    def boot(self, name: str) -> None: ...
    def cut(self, name: str) -> None: ...
    def reboot(self, name: str) -> None: ...
    def boot_id(self, name: str) -> str: ...
    def exec(
        self, name: str, command: Command, *, stdin: bytes = b"", timeout_s: float = 60.0
    ) -> str: ...
    def down(self) -> None: ...


def device_names(count: int) -> tuple[str, ...]:
    """The names of `count` devices that nobody named: device-1, device-2 ..."""
    if count < 1:
        raise LabMisused(f"A lab has at least one device, not {count}.")
    return tuple(f"device-{number}" for number in range(1, count + 1))


def open_lab(
    kind: LabKind,
    directory: Path,
    *,
    environment: Mapping[str, str],
    owner_pid: int = 0,
    progress: Progress = silent,
) -> Lab:
    """A lab of this kind in this directory; nothing is started or looked at yet."""
    match kind:
        case LabKind.NSPAWN:
            return NspawnLab(
                directory, environment=environment, owner_pid=owner_pid, progress=progress
            )
        case LabKind.ROOTLESS:
            return RootlessLab(
                directory, environment=environment, owner_pid=owner_pid, progress=progress
            )
        case LabKind.VM:
            return VmLab(directory, environment=environment, owner_pid=owner_pid, progress=progress)
        case _:
            assert_never(kind)


def choose_kind(
    environment: Mapping[str, str], *, install: bool, progress: Progress = silent
) -> LabKind:
    """The most real lab that this machine can have, after installing packages where allowed.

    Says through `progress` why it is not the best one.
    """
    capabilities = doctor(environment)
    only_packages = all(gap.install for gap in missing(capabilities, NEEDED_FOR_NSPAWN))
    if install and only_packages:
        capabilities = ensure_packages(environment, install=True, progress=progress)
    kind = best_lab(capabilities)
    if kind is not LabKind.NSPAWN:
        for line in why_not_nspawn(capabilities).splitlines():
            progress(f"no systemd devices here: {line}")
    return kind


def up(
    names: tuple[str, ...],
    *,
    kind: LabKind | None,
    directory: Path,
    environment: Mapping[str, str],
    install: bool = False,
    owner_pid: int = 0,
    progress: Progress = silent,
) -> Lab:
    """A running lab with one device per name; a lab that was in the directory is replaced.

    Args:
        kind: None chooses the best one.
        install: whether missing Debian packages may be installed.

    Raises:
        LabError: the machine cannot run this kind; the hint says what is missing.
    """
    down(directory, environment=environment)
    chosen = kind or choose_kind(environment, install=install, progress=progress)
    if chosen is LabKind.NSPAWN:
        obstacles = why_not_nspawn(ensure_packages(environment, install=install, progress=progress))
        if obstacles:
            raise LabError("Systemd devices are not possible on this machine.", hint=obstacles)
    if chosen is LabKind.VM:
        ensure_packages(environment, install=install, needed=NEEDED_FOR_VM, progress=progress)
    lab = open_lab(
        chosen, directory, environment=environment, owner_pid=owner_pid, progress=progress
    )
    lab.up(names)
    return lab


def running(directory: Path, *, environment: Mapping[str, str]) -> Lab | None:
    """The lab that lives in this directory, whoever started it; None where there is none."""
    for kind in LabKind:
        lab = open_lab(kind, directory, environment=environment)
        if lab.attach():
            return lab
    return None


def status(
    directory: Path, *, environment: Mapping[str, str]
) -> tuple[tuple[LabDevice, bool], ...]:
    """Every device of the lab in this directory, and whether it is on."""
    lab = running(directory, environment=environment)
    return tuple((device, lab.is_on(device.name)) for device in lab.devices()) if lab else ()


def down(directory: Path, *, environment: Mapping[str, str]) -> None:
    """Remove every lab of this directory and all it left; nothing to do is no error."""
    for kind in LabKind:
        open_lab(kind, directory, environment=environment).down()
