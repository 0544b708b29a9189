"""The one door to devices: run a command with bytes in and bytes out, or provision packages.

A `Transport` knows how to reach many devices at once; each call is for one device, blocks its own
thread only and always ends (`timeout_s` is enforced from outside the connection). What a device's
command answers is a value; not reaching it is `DeviceUnreachable` with a reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgeform.domain.drivers import DriverTuple
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect
from edgeform.errors import Incomplete


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """`length` bytes of a file from `offset`, streamed, never read into memory whole."""

    path: Path
    offset: int
    length: int


Piece = bytes | FilePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command: a tuple, quoted once by the transport; `stdin` is sent and then closed.

    Args:
        become: run it with the rights the device's `connect.become` gives (sudo), or as we came.
        new_connection: on a fresh connection, never a kept one; a confirm must prove the road.
    """

    argv: tuple[str, ...]
    stdin: tuple[Piece, ...] = ()
    timeout_s: float = 60.0
    become: bool = True
    new_connection: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command answered. Output is data: bounded, never evaluated."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device as the transport needs it; `sudo_password` is a value and never printed.

    Args:
        prefix: where edgeform lives on the device; driver packages that travel as an artifact lie below it.
        runtime_user: who joins the groups of a driver tuple.
    """

    name: str
    connect: Connect
    known_hosts: Path | None = None
    sudo_password: str | None = field(default=None, repr=False)
    prefix: str = "/var/lib/edgeform"
    runtime_user: str = "edgeform"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionStep:
    """One thing the provision lane did: which operation, whether it changed anything, how it ended.

    Args:
        is_loaded: the kernel loads what was changed, so that a class may demand a reboot for it.
    """

    operation: str
    changed: bool
    succeeded: bool
    detail: str = ""
    is_loaded: bool = False


class DeviceUnreachable(Incomplete):
    """The device could not be reached, or did not answer in time; `reason` says which."""

    summary = "Device unreachable"

    def __init__(self, device: str, reason: Unreachability, detail: str, *, hint: str = "") -> None:
        super().__init__(detail, address=device, hint=hint)
        self.device = device
        self.reason = reason


class Transport(Protocol):
    """The contract every transport keeps; tests/contract/test_transport.py is its suite."""

    def run(self, target: Target, command: Run) -> Finished:
        """Run one command on one device. Thread-safe; calls for different devices run side by side.

        Raises:
            DeviceUnreachable: no connection, wrong host key, refused login, refused sudo, no answer
                within `timeout_s`. The command may or may not have run: callers make it repeatable.
        """

    def provision(
        self, target: Target, drivers: DriverTuple, on_step: Callable[[ProvisionStep], None]
    ) -> tuple[ProvisionStep, ...]:
        """What was done to bring packages, modules, rules, groups and sysctl to the tuple (provision lane).

        Raises:
            DeviceUnreachable: as for `run`.
        """

    def close(self) -> None:
        """End every connection and every worker process. Idempotent."""
