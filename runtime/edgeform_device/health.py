"""How one pipeline is; a value of its own, because most questions ask for it and for little else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """How one pipeline is, as its service and its socket say.

    Args:
        phase: what the runtime says of itself, or empty when the socket does not answer.
        failures: how often it ended by itself since it was last told to start.
        generation, content: what answers, as the runtime says; 0 and empty where it does not.
    """

    name: str
    is_active: bool
    pid: int
    phase: str
    detail: str = ""
    failures: int = 0
    generation: int = 0
    content: str = ""

    @property
    def is_ready(self) -> bool:
        return self.is_active and self.phase == "ready"
