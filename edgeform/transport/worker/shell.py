"""pyinfra's shell commands as `Run`s: whatever pyinfra executes goes through our own conversation."""

from collections.abc import Callable, Mapping
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command

from edgeform.transport.base import Finished, Run

COMMAND_S = 1800.0
"""Longest single command of the provision lane: a large package over a slow uplink."""

_OURS = frozenset({"_env", "_chdir", "_shell_executable"})


def run_for_pyinfra(
    run: Callable[[Run], Finished], command: StringCommand, arguments: Mapping[str, Any]
) -> tuple[bool, CommandOutput]:
    """Whether the command succeeded, and its lines, as pyinfra's connectors answer.

    pyinfra's own sudo is not used: it writes the password into the command line of a remote `env`.
    """
    shell = make_unix_command(command, **{k: v for k, v in arguments.items() if k in _OURS})
    stdin = arguments.get("_stdin")
    finished = run(
        Run(
            argv=("sh", "-c", shell.get_raw_value()),
            stdin=() if stdin is None else (stdin.encode() if isinstance(stdin, str) else stdin,),
            timeout_s=float(arguments.get("_timeout") or COMMAND_S),
            become=bool(arguments.get("_sudo")),
        )
    )
    lines = [OutputLine("stdout", line) for line in _lines(finished.stdout)]
    lines += [OutputLine("stderr", line) for line in _lines(finished.stderr)]
    accepted = arguments.get("_success_exit_codes") or [0]
    return finished.exit_code in accepted, CommandOutput(lines)


def _lines(output: bytes) -> list[str]:
    return output.decode("utf-8", "replace").splitlines()
