"""Running another program: bounded in time, its words kept for the error."""

from typing import Tuple

from edgeform_device.errors import Refused


class CommandFailed(Refused):
    """A program of the system did not do what it was asked."""


def run(command: Tuple[str, ...], timeout_s: float = 30.0) -> str:
    """What it printed.

    Raises:
        CommandFailed: it is not there, failed, or took too long; with what it said.
    """
    code, out, err = attempt(command, timeout_s)
    if code != 0:
        raise CommandFailed(
            f"`{' '.join(command[:4])}` failed with exit code {code}.", (err or out).strip()[-400:]
        )
    return out


def attempt(command: Tuple[str, ...], timeout_s: float = 30.0) -> Tuple[int, str, str]:
    """Exit code, standard output and standard error.

    Raises:
        CommandFailed: it is not there, or took too long.
    """
    import subprocess  # noqa: PLC0415 - most questions run nothing

    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise CommandFailed(f"`{command[0]}` did not end within {timeout_s:.0f} s.") from exc
    except OSError as exc:
        raise CommandFailed(f"`{command[0]}` cannot be run.", str(exc)) from exc
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )
