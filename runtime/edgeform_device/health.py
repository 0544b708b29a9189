"""How one pipeline is; a value of its own, because most questions ask for it and for little else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """How one pipeline is, as its service and its socket say.

    Args:
        phase: what the runtime says of itself, or empty when the socket does not answer.
    """

    name: str
    is_active: bool
    pid: int
    phase: str
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        return self.is_active and self.phase == "ready"
