"""Driver tuples: kernel, module, firmware, user space and engine, validated together.

Drivers have no slots: what changes here is changed in place, in a transaction of its own, before any
generation. `undo` is what the plan promises about it.
"""

from dataclasses import dataclass
from enum import StrEnum


class PackageSource(StrEnum):
    APT = "apt"
    ARTIFACT = "artifact"
    """Signed .deb files that travel as a driver artifact, for devices without a package server."""


class Undo(StrEnum):
    PACKAGES = "packages"
    """The previous packages are cached as .deb files and can be put back."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Debian package; `version` None means whichever the source offers."""

    name: str
    version: str | None = None
    source: PackageSource = PackageSource.APT
    hold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UdevRule:
    """A rules file below /etc/udev/rules.d, whole."""

    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRole:
    """An Ansible role that the vendor or the customer maintains: always opaque in a plan."""

    name: str
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverTuple:
    """What a hardware class needs below the runtime, and how to see that it works.

    Args:
        groups: system groups the runtime's user joins.
        sysctl: (key, value), kept in one file below /etc/sysctl.d.
        verify: a command that exits 0 when the accelerator answers; None if there is nothing to ask.
        reboot: whether a change only takes effect after a reboot.
        artifact: digest of the driver artifact that carries .deb files, if any.
    """

    packages: tuple[Package, ...] = ()
    modules: tuple[str, ...] = ()
    udev_rules: tuple[UdevRule, ...] = ()
    groups: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()
    vendor_roles: tuple[VendorRole, ...] = ()
    verify: tuple[str, ...] | None = None
    reboot: bool = False
    undo: Undo = Undo.PACKAGES
    artifact: str | None = None

    @property
    def is_empty(self) -> bool:
        return not (
            self.packages
            or self.modules
            or self.udev_rules
            or self.groups
            or self.sysctl
            or self.vendor_roles
        )
