"""One transport for a whole site: each device goes the way that its `connect.mode` names."""

from collections.abc import Callable

from edgeform.domain.drivers import DriverTuple
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import (
    DeviceUnreachable,
    Finished,
    ProvisionStep,
    Run,
    Target,
    Transport,
)
from edgeform.transport.local import LocalTransport
from edgeform.transport.pyinfra import PyinfraTransport


class ByMode:
    """Dispatches by `connect.mode`; an offline device is unreachable, and says how it is reached."""

    def __init__(self, *, ssh: Transport, local: Transport) -> None:
        self._ssh = ssh
        self._local = local

    def run(self, target: Target, command: Run) -> Finished:
        return self._way_to(target).run(target, command)

    def provision(
        self, target: Target, drivers: DriverTuple, on_step: Callable[[ProvisionStep], None]
    ) -> tuple[ProvisionStep, ...]:
        return self._way_to(target).provision(target, drivers, on_step)

    def close(self) -> None:
        self._local.close()
        self._ssh.close()

    def _way_to(self, target: Target) -> Transport:
        match target.connect.mode:
            case "ssh":
                return self._ssh
            case "local":
                return self._local
            case mode:
                raise DeviceUnreachable(
                    target.name,
                    Unreachability.OFFLINE,
                    f"{target.name} has connect.mode {mode}: it is not reached over a network.",
                    hint="Carry a bundle to it on a stick.",
                )


def open_transport(*, workers: int | None = None) -> ByMode:
    """The transport for real devices; its first worker starts beside what the caller does next."""
    ssh = PyinfraTransport(workers=workers)
    ssh.warm_up()
    return ByMode(ssh=ssh, local=LocalTransport(provisioner=ssh))
