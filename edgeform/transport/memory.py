"""Transports for tests: devices that are directories here, and faults at exactly the wrong moment.

The commands are real (the device tool runs as it does on a device, in another prefix); only the bytes
on a network are replaced.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeform.domain.drivers import DriverTuple
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import (
    DeviceUnreachable,
    FilePart,
    Finished,
    Piece,
    ProvisionStep,
    Run,
    Target,
    Transport,
)
from edgeform.transport.local import run_here

DEVICE_PREFIX = "/var/lib/edgeform"


class MemoryTransport:
    """Every device is a directory below `base`, and its prefix is there, whatever the command says.

    Args:
        environment: what commands see; None means what a login would give.
        provisioned: the steps that `provision` claims were done, for callers that test what follows.
    """

    def __init__(
        self,
        base: Path,
        *,
        environment: Mapping[str, str] | None = None,
        provisioned: tuple[ProvisionStep, ...] = (),
    ) -> None:
        self._base = base
        self._environment = environment
        self._provisioned = provisioned
        self._is_closed = False

    def root(self, device: str) -> Path:
        """The directory that stands for the device's file system."""
        return self._base / device

    def prefix(self, device: str) -> Path:
        """Where the device's edgeform directory is here."""
        return self.root(device) / DEVICE_PREFIX.lstrip("/")

    def run(self, target: Target, command: Run) -> Finished:
        if self._is_closed:
            raise DeviceUnreachable(
                target.name, Unreachability.OFFLINE, "The transport has been closed."
            )
        here = str(self.prefix(target.name))
        self.prefix(target.name).mkdir(parents=True, exist_ok=True)
        argv = tuple(word.replace(DEVICE_PREFIX, here) for word in command.argv)
        connect = replace(target.connect, mode="local", become="none")
        return run_here(
            replace(target, connect=connect),
            replace(command, argv=argv),
            environment=self._environment,
        )

    def provision(
        self, target: Target, drivers: DriverTuple, on_step: Callable[[ProvisionStep], None]
    ) -> tuple[ProvisionStep, ...]:
        del target, drivers
        for step in self._provisioned:
            on_step(step)
        return self._provisioned

    def close(self) -> None:
        self._is_closed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The call does not reach the device."""

    reason: Unreachability = Unreachability.CONNECT


@dataclass(frozen=True, slots=True, kw_only=True)
class CutStdin:
    """The device gets so many bytes of stdin, then the end; the caller gets no answer."""

    after_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseAnswer:
    """The device does it all; the caller gets no answer."""

    reason: Unreachability = Unreachability.PROTOCOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The call takes so long before anything happens."""

    seconds: float


Fault = Refuse | CutStdin | LoseAnswer | Delay


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultAt:
    """A fault, and when: at the k-th call (from 1) of a device whose command contains `word`.

    Args:
        call: 0 means at every such call.
    """

    fault: Fault
    call: int = 1
    device: str | None = None
    word: str = ""

    def concerns(self, target: Target, command: Run) -> bool:
        is_device = self.device is None or self.device == target.name
        return is_device and any(self.word in word for word in command.argv)


class Faulty:
    """Another transport, with faults; counts calls by fault, thread-safely.

    Args:
        sleep: what a Delay calls, so that a test's clock can be its own.
    """

    def __init__(
        self, inner: Transport, faults: tuple[FaultAt, ...], *, sleep: Callable[[float], None]
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._sleep = sleep
        self._lock = threading.Lock()
        self._seen = [0] * len(faults)
        self.commands: list[tuple[str, Run]] = []
        """(device, command) in the order in which they were asked for."""

    def run(self, target: Target, command: Run) -> Finished:
        for fault in self._due(target, command):
            match fault:
                case Refuse(reason=reason):
                    raise DeviceUnreachable(target.name, reason, f"{target.name} is not reached.")
                case Delay(seconds=seconds):
                    self._sleep(seconds)
                case CutStdin(after_bytes=after_bytes):
                    short = replace(command, stdin=first_bytes(command.stdin, after_bytes))
                    self._inner.run(target, short)
                    raise _broken(target, Unreachability.PROTOCOL)
                case LoseAnswer(reason=reason):
                    self._inner.run(target, command)
                    raise _broken(target, reason)
        return self._inner.run(target, command)

    def provision(
        self, target: Target, drivers: DriverTuple, on_step: Callable[[ProvisionStep], None]
    ) -> tuple[ProvisionStep, ...]:
        return self._inner.provision(target, drivers, on_step)

    def close(self) -> None:
        self._inner.close()

    def _due(self, target: Target, command: Run) -> tuple[Fault, ...]:
        due: list[Fault] = []
        with self._lock:
            self.commands.append((target.name, command))
            for index, at in enumerate(self._faults):
                if at.concerns(target, command):
                    self._seen[index] += 1
                    if at.call in {0, self._seen[index]}:
                        due.append(at.fault)
        # Delays come first, or a fault before them would hide them.
        return tuple(sorted(due, key=lambda fault: not isinstance(fault, Delay)))


def first_bytes(stdin: tuple[Piece, ...], count: int) -> tuple[Piece, ...]:
    """The beginning of what would be sent."""
    kept: list[Piece] = []
    for piece in stdin:
        if isinstance(piece, FilePart):
            part = replace(piece, length=min(piece.length, count))
            kept.append(part)
            count -= part.length
        else:
            kept.append(piece[:count])
            count -= len(piece[:count])
    return tuple(kept)


def _broken(target: Target, reason: Unreachability) -> DeviceUnreachable:
    return DeviceUnreachable(
        target.name,
        reason,
        f"{target.name}: the connection ended before the command did.",
        hint="The command may or may not have run.",
    )
