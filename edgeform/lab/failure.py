"""What can go wrong with the lab itself, said so that its user can mend it."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what was asked; the message says what, why and what to do."""

    def __init__(self, summary: str, *, hint: str = "") -> None:
        super().__init__(f"{summary}\n{hint}" if hint else summary)
        self.summary = summary
        self.hint = hint


class CommandFailed(LabError):
    """A program that the lab runs ended badly; its own words are in the message."""

    def __init__(self, command: tuple[str, ...], status: int, said: str) -> None:
        super().__init__(
            f"The command ended with status {status}: {' '.join(command)}",
            hint=said.strip()[-2000:],
        )
        self.command = command
        self.status = status
        self.said = said
