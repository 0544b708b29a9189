"""A command as the device's shell will read it: quoted once, bounded in time, with or without sudo.

Pure. A sudo password is never part of what this module returns.
"""

import math
import re
import shlex
from pathlib import PurePosixPath

DEVICE_TOOL = "edgeform-device"

KILL_AFTER_S = 5
"""How long a command that ignores SIGTERM may go on before `timeout` kills it."""

PROMPT = "edgeform-sudo-asks-7b1e:"
READY = "edgeform-sudo-ready-7b1e:"
"""What sudo, and the command that it starts, say on stderr before any output of ours is due."""


def bounded(argv: tuple[str, ...], timeout_s: float) -> tuple[str, ...]:
    """The command under a deadline that the device itself keeps: a cut connection ends nothing there.

    The device tool bounds each of its verbs, and must stay the first word: forced commands and
    sudoers lines name it.
    """
    if is_device_tool(argv):
        return argv
    # One second later than ours, so that what the caller sees is a TIMEOUT and not an exit code.
    limit_s = math.ceil(timeout_s) + 1
    return ("timeout", "-k", str(KILL_AFTER_S), str(limit_s), *argv)


def is_device_tool(argv: tuple[str, ...]) -> bool:
    return bool(argv) and PurePosixPath(argv[0]).name == DEVICE_TOOL


def with_sudo(argv: tuple[str, ...], *, asks_password: bool) -> tuple[str, ...]:
    """The command as root.

    Without a password the line is what a sudoers entry can name word by word. With one, sudo reads it
    from stdin, but only if it wants one (NOPASSWD entries, cached credentials): so it says PROMPT when
    it asks, and the command says READY when it runs, and nobody ever takes the one for the other.
    """
    if not asks_password:
        return ("sudo", "-n", "--", *argv)
    ready = f'printf %s {READY} >&2; exec "$@"'
    return ("sudo", "-S", "-p", PROMPT, "--", "sh", "-c", ready, "sh", *argv)


def shell_line(argv: tuple[str, ...]) -> str:
    """The words as one line of POSIX shell. This is the only place where anything is quoted."""
    return shlex.join(argv)


_SUDO_SPEAKS = re.compile(
    r"^(sudo|sudo-rs): |"
    r"^Sorry, user \S+ (may not run sudo|is not allowed to execute)|"
    r"^\S+ is not in the sudoers file|"
    r"^(\S+: )?(line )?(\d+: )?sudo: (command )?not found"
)


def sudo_refusal(exit_code: int, stdout: bytes, stderr: bytes) -> str | None:
    """What `sudo -n` said when it was sudo, not the command, that ended with an error; else None."""
    if exit_code not in {1, 127} or stdout:
        return None
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
    spoken = [line for line in lines if line]
    if spoken and _SUDO_SPEAKS.match(spoken[-1]):
        return spoken[-1]
    return None
