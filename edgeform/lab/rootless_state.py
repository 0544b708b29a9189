"""What the process of the unprivileged devices and its user tell each other through one file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeform.lab.device import write_atomically

STATE_FILE = "rootless.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootlessState:
    """A lab of unprivileged devices.

    Attributes:
        token: what a control request must bring.
        ports: of the devices, in the order of `names`; () until they answer.
    """

    names: tuple[str, ...]
    token: str
    pid: int = 0
    pid_start: str = ""
    control_port: int = 0
    ports: tuple[int, ...] = ()

    def port_of(self, name: str) -> int:
        return self.ports[self.names.index(name)]


def read_state(directory: Path) -> RootlessState | None:
    """The state of the lab in this directory; None where there is no such lab."""
    try:
        fields = json.loads((directory / STATE_FILE).read_text())
    except FileNotFoundError:
        return None
    return RootlessState(
        **{**fields, "names": tuple(fields["names"]), "ports": tuple(fields["ports"])}
    )


def write_state(directory: Path, state: RootlessState) -> None:
    """Replace the state; only its owner may read it, because of the token."""
    write_atomically(directory / STATE_FILE, json.dumps(asdict(state)) + "\n", mode=0o600)
