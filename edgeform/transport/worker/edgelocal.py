"""pyinfra's connector for this very machine, so that the provision lane works there too."""

from collections.abc import Iterator
from typing import Any, NoReturn

from pyinfra.api.command import StringCommand
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput

from edgeform.transport.base import Finished, Run, Target
from edgeform.transport.local import run_here
from edgeform.transport.worker.shell import run_for_pyinfra


class EdgeLocal(BaseConnector):
    """The controller's machine, through the same conversation as everything else."""

    handles_execution = True
    heard: str = ""
    _target: Target

    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        yield f"@local/{name}", {}, []

    def aim(self, target: Target) -> None:
        self._target = target

    def run(self, command: Run) -> Finished:
        return run_here(self._target, command)

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,  # noqa: FBT001, FBT002 - pyinfra's signature
        print_input: bool = False,  # noqa: FBT001, FBT002 - pyinfra's signature
        **arguments: Any,
    ) -> tuple[bool, CommandOutput]:
        del print_output, print_input
        return run_for_pyinfra(self, command, arguments)

    def put_file(self, *args: object, **arguments: object) -> NoReturn:
        del args, arguments
        raise NotImplementedError("an interrupted put destroys the good file: send it on stdin")

    def get_file(self, *args: object, **arguments: object) -> NoReturn:
        del args, arguments
        raise NotImplementedError("read it on stdout")
