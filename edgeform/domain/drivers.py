"""Driver tuples: kernel, module, firmware, user space and engine, validated together.

Drivers have no slots: what changes here is changed in place, in a transaction of its own, before any
generation. `undo` is what the plan promises about it.
"""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

UDEV_DIRECTORY = "/etc/udev/rules.d"
ROLE_STAMPS = "/etc/edgeform/roles"
"""Where it is written down that a vendor role ended well, and with which variables: nothing else can
tell whether an opaque role is still to be done."""


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

    @property
    def path(self) -> str:
        name = self.name if self.name.endswith(".rules") else f"{self.name}.rules"
        return f"{UDEV_DIRECTORY}/{name}"

    @property
    def digest(self) -> str:
        """Of the file's bytes, as the probe reports it."""
        return _digest_of(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRole:
    """An Ansible role that the vendor or the customer maintains: always opaque in a plan."""

    name: str
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def stamp_path(self) -> str:
        """The file that is written once the role has ended well."""
        return f"{ROLE_STAMPS}/{self.name.replace('/', '.')}"

    @property
    def stamp(self) -> str:
        """The content of that file; another one means other variables, so the role runs again."""
        lines = (f"{key}={value}" for key, value in sorted(self.variables))
        return "\n".join((f"role={self.name}", *lines)) + "\n"

    @property
    def stamp_digest(self) -> str:
        return _digest_of(self.stamp)


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

    @property
    def carried(self) -> tuple[Package, ...]:
        """The packages that travel as .deb files of the driver artifact; the device installs them itself."""
        return tuple(
            p for p in self.packages if p.source is PackageSource.ARTIFACT and self.artifact
        )

    @property
    def carried_names(self) -> frozenset[str]:
        return frozenset(p.name for p in self.carried)

    @property
    def provisioned(self) -> "DriverTuple":
        """What the provision lane brings about; verified by the device itself where packages are carried."""
        if not self.carried:
            return self
        carried = self.carried
        left = tuple(p for p in self.packages if p not in carried)
        return replace(self, packages=left, verify=None)

    @property
    def asked(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(kind, names) of what a probe must be asked, to compare a device with it; no kind is empty."""
        found = {
            "packages": {p.name for p in self.packages},
            "modules": set(self.modules),
            "files": set(self.files),
            "sysctl": {key for key, _ in self.sysctl},
            "groups": set(self.groups),
        }
        return tuple((kind, tuple(sorted(names))) for kind, names in sorted(found.items()) if names)

    @property
    def files(self) -> tuple[str, ...]:
        """The files a probe must be asked about, to see what is still to be done."""
        rules = tuple(rule.path for rule in self.udev_rules)
        return rules + tuple(role.stamp_path for role in self.vendor_roles)


def _digest_of(content: str) -> str:
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()
