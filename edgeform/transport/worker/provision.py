"""The provision lane on one device: a driver tuple, operation by operation, each reported as it ends.

A step that fails is a value, and ends the device's turn: later steps build on earlier ones. Only a
device that is not reached any more is an exception. pyinfra's dry run is not used.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pyinfra.api.exceptions import NestedOperationError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta
from pyinfra.context import ctx_host

from edgeform.domain.drivers import DriverTuple, Package, PackageSource
from edgeform.transport.base import ProvisionStep, Target
from edgeform.transport.worker import operations
from edgeform.transport.worker.fleet import Fleet

MODULES_FILE = "/etc/modules-load.d/edgeform.conf"
SYSCTL_FILE = "/etc/sysctl.d/60-edgeform.conf"

DETAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An operation with its arguments, and what it is called in reports."""

    name: str
    operation: Callable[..., OperationMeta]
    arguments: dict[str, Any]


def provision(
    fleet: Fleet, target: Target, drivers: DriverTuple, say: Callable[[ProvisionStep], None]
) -> None:
    """Carry the tuple out; `say` gets each step when it has ended.

    Raises:
        DeviceUnreachable: from whatever was running when the device was lost.
    """
    host = fleet.host(target)
    host.connected = True  # our connector connects when it needs to, within its own budget
    become = target.connect.become == "sudo"
    with ctx_host.use(host):
        for step in steps_for(target, drivers):
            done = _carry_out(host, step, become=become)
            say(done)
            if not done.succeeded:
                return


def steps_for(target: Target, drivers: DriverTuple) -> Iterator[Step]:
    """What is to be done, in order: packages first, because modules and rules come with them."""
    from_apt = [p for p in drivers.packages if p.source is PackageSource.APT]
    from_files = [p for p in drivers.packages if p.source is PackageSource.ARTIFACT]
    held = [p.name for p in drivers.packages if p.hold]
    if from_apt:
        yield Step(
            name="packages " + _named(from_apt),
            operation=operations.debian_packages,
            arguments={"packages": [_pinned(p) for p in from_apt]},
        )
    if from_files:
        yield Step(
            name="package files " + _named(from_files),
            operation=operations.debian_files,
            arguments={
                "directory": _artifact_directory(target, drivers),
                "packages": [_pinned(p) for p in from_files],
            },
        )
    if held:
        yield Step(
            name="hold " + " ".join(held),
            operation=operations.held_packages,
            arguments={"packages": held},
        )
    if drivers.udev_rules:
        yield Step(
            name="udev rules " + " ".join(rule.name for rule in drivers.udev_rules),
            operation=operations.udev_rules,
            arguments={"rules": [(rule.name, rule.content) for rule in drivers.udev_rules]},
        )
    if drivers.modules:
        yield Step(
            name="modules " + " ".join(drivers.modules),
            operation=operations.kernel_modules,
            arguments={"modules": list(drivers.modules), "path": MODULES_FILE},
        )
    if drivers.groups:
        yield Step(
            name=f"groups of {target.runtime_user}: " + " ".join(drivers.groups),
            operation=operations.user_groups,
            arguments={"user": target.runtime_user, "groups": list(drivers.groups)},
        )
    if drivers.sysctl:
        yield Step(
            name="sysctl " + " ".join(key for key, _ in drivers.sysctl),
            operation=operations.kernel_parameters,
            arguments={"values": list(drivers.sysctl), "path": SYSCTL_FILE},
        )


_LOADED = (operations.debian_packages, operations.debian_files, operations.kernel_modules)


def _carry_out(host: Host, step: Step, *, become: bool) -> ProvisionStep:
    host.connector.heard = ""
    try:
        done = step.operation(**step.arguments, name=step.name, _sudo=become)
    except NestedOperationError:
        return ProvisionStep(
            operation=step.name, changed=True, succeeded=False, detail=_detail(host, "it failed")
        )
    except PyinfraError as exc:
        # A fact that cannot be read is reported as "No hosts remaining!"; its own words are better.
        return ProvisionStep(
            operation=step.name, changed=False, succeeded=False, detail=_detail(host, str(exc))
        )
    return ProvisionStep(
        operation=step.name,
        changed=done.did_change(),
        succeeded=True,
        is_loaded=step.operation in _LOADED,
    )


def _detail(host: Host, otherwise: str) -> str:
    said: str = host.connector.heard.strip()
    return said[-DETAIL_CHARACTERS:] or otherwise


def _artifact_directory(target: Target, drivers: DriverTuple) -> str:
    digest = (drivers.artifact or "").removeprefix("sha256:")
    return str(PurePosixPath(target.prefix) / "trees" / (digest or "no-artifact-is-named"))


def _pinned(package: Package) -> str:
    return package.name if package.version is None else f"{package.name}={package.version}"


def _named(packages: list[Package]) -> str:
    return " ".join(_pinned(package) for package in packages)
