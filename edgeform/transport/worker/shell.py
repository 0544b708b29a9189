"""pyinfra's shell commands as `Run`s: whatever pyinfra executes goes through our own conversation."""

from collections.abc import Mapping
from typing import Any, Protocol

from pyinfra.api.command import StringCommand
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command

from edgeform.transport.base import Finished, Run

COMMAND_S = 1800.0
"""Longest single command of the provision lane: a large package over a slow uplink."""

SYSTEM_PATH = 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export PATH; '
"""A login that is not root's has no groupadd, sysctl or modprobe on its path."""

_OURS = frozenset({"_env", "_chdir", "_shell_executable"})


class Speaker(Protocol):
    """A connector that remembers what its last failing command said."""

    heard: str

    def run(self, command: Run) -> Finished: ...


def run_for_pyinfra(
    connector: Speaker, command: StringCommand, arguments: Mapping[str, Any]
) -> tuple[bool, CommandOutput]:
    """Whether the command succeeded, and its lines, as pyinfra's connectors answer.

    pyinfra's own sudo is not used: it writes the password into the command line of a remote `env`.
    """
    shell = make_unix_command(command, **{k: v for k, v in arguments.items() if k in _OURS})
    stdin = arguments.get("_stdin")
    finished = connector.run(
        Run(
            argv=("sh", "-c", SYSTEM_PATH + shell.get_raw_value()),
            stdin=() if stdin is None else (stdin.encode() if isinstance(stdin, str) else stdin,),
            timeout_s=float(arguments.get("_timeout") or COMMAND_S),
            become=bool(arguments.get("_sudo")),
        )
    )
    lines = [OutputLine("stdout", line) for line in _lines(finished.stdout)]
    lines += [OutputLine("stderr", line) for line in _lines(finished.stderr)]
    accepted = arguments.get("_success_exit_codes") or [0]
    is_accepted = finished.exit_code in accepted
    if not is_accepted:
        said = (finished.stderr or finished.stdout).decode("utf-8", "replace").strip()
        connector.heard = f"{said}\n(exit code {finished.exit_code})".strip()
    return is_accepted, CommandOutput(lines)


def _lines(output: bytes) -> list[str]:
    # Not splitlines(): a form feed in a file is no line break.
    lines = output.decode("utf-8", "replace").split("\n")
    return lines[:-1] if not lines[-1] else lines
