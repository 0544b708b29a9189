"""What may be wrong with the connection to a rootless device; read anew at each connection."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeform.lab.device import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The ways in which a device's SSH can misbehave; the default is none.

    Attributes:
        delay_s: added to every byte in each direction: half of the round trip.
        refuse: the connection is reset as soon as it is made.
        stall_after_bytes: after so many bytes from the client nothing moves any more in either
            direction, while the connection stays open; 0: it never even greets. -1: never.
        cut_after_bytes: after so many bytes from the client the connection is reset. -1: never.
        kill_after_commands: the connection is reset when more than so many commands are asked for
            on it. -1: never.
    """

    delay_s: float = 0.0
    refuse: bool = False
    stall_after_bytes: int = -1
    cut_after_bytes: int = -1
    kill_after_commands: int = -1

    @property
    def concerns_bytes(self) -> bool:
        return self.delay_s > 0 or self.stall_after_bytes >= 0 or self.cut_after_bytes >= 0


def read_fault(directory: Path) -> Fault:
    """The fault that is set for the device in this directory."""
    try:
        text = (directory / "fault.json").read_text()
    except FileNotFoundError:
        return Fault()
    return Fault(**json.loads(text))


def write_fault(directory: Path, fault: Fault) -> None:
    """Set the fault for all connections that begin from now on."""
    write_atomically(directory / "fault.json", json.dumps(asdict(fault)))
