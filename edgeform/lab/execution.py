"""Where the lab's planned commands are run; everything that plans them is pure."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable

from edgeform.lab.failure import CommandFailed, LabError

Command = tuple[str, ...]
Progress = Callable[[str], None]


def silent(_line: str) -> None:
    """A progress callback for callers who do not want any."""


def run(command: Command, *, stdin: bytes = b"", timeout_s: float = 60.0) -> str:
    """What the command printed.

    Raises:
        CommandFailed: it ended with another status than 0.
        LabError: it is not installed, or took longer than `timeout_s`.
    """
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError as exc:
        raise LabError(
            f"The lab needs the program {command[0]!r}, which is not installed.",
            hint="`edgeform lab doctor` names the package.",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"Not finished after {timeout_s:g} s: {' '.join(command)}") from exc
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")
        raise CommandFailed(command, done.returncode, said)
    return done.stdout.decode(errors="replace")


def run_all(commands: Iterable[Command]) -> None:
    """Run the commands in order; the first that fails raises."""
    for command in commands:
        run(command)


def wait_until(claim: Callable[[], bool], *, what: str, timeout_s: float) -> None:
    """Return as soon as the claim is true.

    Raises:
        LabError: it did not become true within `timeout_s`; `what` says what was awaited.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.01
    while not claim():
        if time.monotonic() > deadline:
            raise LabError(f"Waited {timeout_s:g} s in vain for {what}.")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.2)
