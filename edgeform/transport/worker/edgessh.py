"""pyinfra's SSH connector as edgeform needs it: strict, bounded, with bytes in and bytes out.

What pyinfra's operations run and what `Transport.run` runs take the same way: one conversation on one
connection that nobody else uses meanwhile. Files are never put: what arrives, arrives on stdin.
"""

from typing import Any, NoReturn

from paramiko import ChannelException, SSHException
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Finished, Run, Target
from edgeform.transport.commandline import bounded, shell_line, sudo_refusal, with_sudo
from edgeform.transport.conversation import (
    SudoRefused,
    TimedOut,
    TooMuchOutput,
    WireBroken,
    converse,
)
from edgeform.transport.worker.channel import ChannelWire
from edgeform.transport.worker.link import Link, PeerSilent, open_link
from edgeform.transport.worker.shell import run_for_pyinfra


class EdgeSSH(SSHConnector):
    """One device: a kept connection, fresh ones when it is busy or when a new one is asked for."""

    heard: str = ""
    _target: Target
    _kept: Link | None = None

    def aim(self, target: Target) -> None:
        """Say which device this is; called once, before anything else."""
        self._target = target
        self._open: set[Link] = set()

    def connect(self) -> None:
        try:
            self._keep(open_link(self._target))
        except DeviceUnreachable as exc:
            raise ConnectError(exc.detail) from exc

    def disconnect(self) -> None:
        """Close every connection; the stock connector leaves them open."""
        self._kept = None
        for link in tuple(self._open):
            link.close()
        self._open.clear()
        self.client = None

    def run(self, command: Run) -> Finished:
        """What the command answered, as `Transport.run` promises it."""
        target = self._target
        sudo = command.become and target.connect.become == "sudo"
        password = target.sudo_password if sudo else None
        argv = bounded(command.argv, command.timeout_s)
        if sudo:
            argv = with_sudo(argv, asks_password=password is not None)
        link, wire = self._wire(shell_line(argv), command)
        try:
            finished = converse(
                wire, stdin=command.stdin, timeout_s=command.timeout_s, sudo_password=password
            )
        except BaseException as exc:
            self._drop(link)
            if isinstance(exc, Exception):
                raise self._translated(exc) from exc
            raise
        self._keep(link)
        if sudo and password is None:
            said = sudo_refusal(finished.exit_code, finished.stdout, finished.stderr)
            if said is not None:
                raise self._sudo_refused(said)
        return finished

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

    def rsync(self, *args: object, **arguments: object) -> NoReturn:
        del args, arguments
        raise NotImplementedError("send it on stdin")

    def _wire(self, line: str, command: Run) -> tuple[Link, ChannelWire]:
        """A connection of its own for this command, and the channel; the command is not started yet."""
        budget_s = min(self._target.connect.connect_timeout_s, command.timeout_s)
        kept, self._kept = self._kept, None
        if kept is not None and (command.new_connection or not kept.is_open):
            self._drop(kept)
            kept = None
        if kept is not None:
            try:
                return kept, ChannelWire(kept, kept.session(budget_s), line)
            except (PeerSilent, SSHException, EOFError, OSError):
                # The device may have rebooted meanwhile. Nothing was sent, so trying again is safe.
                self._drop(kept)
        link = open_link(self._target)
        self._open.add(link)
        try:
            return link, ChannelWire(link, link.session(budget_s), line)
        except BaseException as exc:
            self._drop(link)
            if isinstance(exc, Exception):
                raise self._translated(exc) from exc
            raise

    def _keep(self, link: Link) -> None:
        self._open.add(link)
        if self._kept is None and link.is_open:
            self._kept = link
            self.client = link.client  # type: ignore[assignment]
        else:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        self._open.discard(link)
        link.close()

    def _translated(self, exc: Exception) -> Exception:
        name = self._target.name
        match exc:
            case TimedOut() | PeerSilent():
                detail = str(exc) or "the connection is open, but nothing is answered"
                return DeviceUnreachable(
                    name,
                    Unreachability.TIMEOUT,
                    f"{name}: {detail}.",
                    hint="The command may or may not have run; the connection was closed.",
                )
            case SudoRefused():
                return self._sudo_refused(str(exc))
            case TooMuchOutput():
                return DeviceUnreachable(name, Unreachability.PROTOCOL, f"{name}: {exc}.")
            case WireBroken() | ChannelException() | SSHException() | EOFError() | OSError():
                detail = str(exc).strip().rstrip(".") or "the connection broke"
                return DeviceUnreachable(
                    name,
                    Unreachability.PROTOCOL,
                    f"{name}: {detail}.",
                    hint="The command may or may not have run.",
                )
            case _:
                return exc

    def _sudo_refused(self, said: str) -> DeviceUnreachable:
        user = self._target.connect.user or "the user"
        given = self._target.sudo_password is not None
        hint = (
            "Is the password behind connect.sudo_password the right one?"
            if given
            else f"Give {user} a NOPASSWD entry, or name connect.sudo_password in the site."
        )
        return DeviceUnreachable(
            self._target.name,
            Unreachability.SUDO,
            f"sudo on {self._target.name} did not run the command: {said or 'it said nothing'}",
            hint=hint,
        )
