"""What a device lacks of its class's driver tuple."""

from collections.abc import Iterable, Iterator

from edgeform.domain.drivers import DriverTuple, Package, PackageSource, Undo
from edgeform.domain.observed import Facts
from edgeform.plan import changes as c
from edgeform.plan.changes import DriverChange, Fidelity, Reason, Undoing

_BELOW = (c.InstallPackage, c.LoadModule, c.RunVendorRole)
"""What may be loaded by the kernel, or by who knows whom."""


def driver_changes(drivers: DriverTuple, facts: Facts, reason: Reason) -> tuple[DriverChange, ...]:
    """The changes that bring the tuple about; a reboot at the end where the tuple demands one.

    Rules, groups and kernel parameters are in effect at once; only what the kernel loads asks for a reboot.
    """
    if drivers.is_empty:
        return ()
    undo = Undoing.PACKAGES if drivers.undo is Undo.PACKAGES else Undoing.NONE
    found = tuple(_missing(drivers, facts, reason, undo))
    if drivers.reboot and any(isinstance(change, _BELOW) for change in found):
        found += (c.Reboot(reason=reason, undo=Undoing.NONE, downtime_s=None, reboot=True),)
    return found


def not_travelling(drivers: DriverTuple, changes: Iterable[object]) -> tuple[DriverChange, ...]:
    """Those of a plan's changes that only the provision lane can make: no stick and no pull carries them."""
    return tuple(
        change
        for change in changes
        if isinstance(change, DriverChange)
        and not isinstance(change, c.Reboot)
        and not (isinstance(change, c.InstallPackage) and change.name in drivers.carried_names)
    )


def not_named(drivers: DriverTuple, changes: Iterable[object]) -> tuple[str, ...]:
    """The packages that shall come out of a driver artifact, where the class names none."""
    if drivers.artifact is not None:
        return ()
    return tuple(
        change.name
        for change in changes
        if isinstance(change, c.InstallPackage) and change.source == PackageSource.ARTIFACT
    )


def _missing(
    drivers: DriverTuple, facts: Facts, reason: Reason, undo: Undoing
) -> Iterator[DriverChange]:
    installed = dict(facts.packages)
    for package in drivers.packages:
        before = installed.get(package.name) or None
        if before is None or package.version not in (None, before):
            yield _package(package, before, reason, undo)
    yield from _kernel(drivers, facts, reason, undo)
    for group in drivers.groups:
        if group not in facts.groups:
            yield c.JoinGroup(name=group, reason=reason, undo=undo)
    seen_files = dict(facts.files)
    for role in drivers.vendor_roles:
        if seen_files.get(role.stamp_path, "") != role.stamp_digest:
            yield c.RunVendorRole(
                name=role.name,
                reason=reason,
                fidelity=Fidelity.OPAQUE,
                undo=Undoing.NONE,
                downtime_s=None,
            )


def _kernel(
    drivers: DriverTuple, facts: Facts, reason: Reason, undo: Undoing
) -> Iterator[DriverChange]:
    seen_files = dict(facts.files)
    for rule in drivers.udev_rules:
        seen = seen_files.get(rule.path, "")
        if seen != rule.digest:
            yield c.WriteUdevRule(
                name=rule.name, path=rule.path, replaces=bool(seen), reason=reason, undo=undo
            )
    loaded = {_module(name) for name in facts.modules}
    for module in drivers.modules:
        if _module(module) not in loaded:
            yield c.LoadModule(name=module, reason=reason, undo=undo)
    settings = dict(facts.sysctl)
    for key, wanted in drivers.sysctl:
        value = settings.get(key)
        if value is None or value.split() != wanted.split():
            yield c.SetSysctl(name=key, before=value, after=wanted, reason=reason, undo=undo)


def _module(name: str) -> str:
    """As the kernel lists it: with underscores, whatever the file is called."""
    return name.replace("-", "_")


def _package(
    package: Package, before: str | None, reason: Reason, undo: Undoing
) -> c.InstallPackage:
    return c.InstallPackage(
        name=package.name,
        before=before,
        after=package.version,
        source=str(package.source),
        hold=package.hold,
        reason=reason,
        # Without a version it is the package server that decides what arrives.
        fidelity=Fidelity.OPAQUE if package.version is None else Fidelity.EXACT,
        undo=undo,
        downtime_s=0.0,
    )
