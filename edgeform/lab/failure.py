"""What can go wrong with the lab itself, said so that its user can mend it."""

from typing import ClassVar

from edgeform.errors import OutsideFailed, UsageError


class LabError(OutsideFailed):
    """The lab could not do what was asked, because of the machine it runs on."""

    summary: ClassVar[str] = "Lab failed"

    def __str__(self) -> str:
        return f"{self.detail}\n{self.hint}" if self.hint else self.detail


class LabMisused(UsageError):
    """The lab was asked for something that it does not have, such as an unknown device."""


class CommandFailed(LabError):
    """A program that the lab runs ended badly; its own words are the hint."""

    def __init__(self, command: tuple[str, ...], status: int, said: str) -> None:
        super().__init__(
            f"The command ended with status {status}: {' '.join(command)}",
            hint=said.strip()[-2000:],
        )
        self.command = command
        self.status = status
        self.said = said


__all__ = ["CommandFailed", "LabError", "LabMisused"]
