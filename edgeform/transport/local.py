"""The controller's own machine as a device (`mode: local`).

Every command is a subprocess in a group of its own, held to the contract of a command over SSH.
"""

import contextlib
import os
import pwd
import select
import signal
import subprocess
from collections.abc import Callable, Mapping

from edgeform.domain.drivers import DriverTuple
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import (
    DeviceUnreachable,
    Finished,
    ProvisionStep,
    Run,
    Target,
    Transport,
)
from edgeform.transport.commandline import bounded, sudo_refusal, with_sudo
from edgeform.transport.conversation import (
    CHUNK_BYTES,
    SourceChanged,
    SudoRefused,
    TimedOut,
    TooMuchOutput,
    WireBroken,
    converse,
)
from edgeform.transport.messages import WorkerFailed

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ERRORS = select.POLLERR | select.POLLHUP | select.POLLNVAL


class LocalTransport:
    """Runs commands here. Provisioning is handed to the transport that has pyinfra workers.

    Args:
        provisioner: who provisions this machine; None refuses to.
        environment: what commands see, in place of the controller's own, which may hold secrets.
    """

    def __init__(
        self,
        *,
        provisioner: Transport | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._provisioner = provisioner
        self._environment = environment

    def run(self, target: Target, command: Run) -> Finished:
        return run_here(target, command, environment=self._environment)

    def provision(
        self, target: Target, drivers: DriverTuple, on_step: Callable[[ProvisionStep], None]
    ) -> tuple[ProvisionStep, ...]:
        if self._provisioner is None:
            raise DeviceUnreachable(
                target.name,
                Unreachability.OFFLINE,
                "This transport was opened without a provision lane.",
            )
        return self._provisioner.provision(target, drivers, on_step)

    def close(self) -> None:
        """Nothing is kept open; the provisioner belongs to whoever made it."""


def run_here(
    target: Target, command: Run, *, environment: Mapping[str, str] | None = None
) -> Finished:
    """What the command answered, run on this machine as `Transport.run` promises it.

    Raises:
        DeviceUnreachable: sudo refused, or no answer in time.
    """
    # Root needs no sudo, and a small system may have none.
    sudo = command.become and target.connect.become == "sudo" and os.geteuid() != 0
    password = target.sudo_password if sudo else None
    argv = bounded(command.argv, command.timeout_s)
    if sudo:
        argv = with_sudo(argv, asks_password=password is not None)
    wire = ProcessWire(argv, environment if environment is not None else plain_environment())
    try:
        finished = converse(
            wire, stdin=command.stdin, timeout_s=command.timeout_s, sudo_password=password
        )
    except (FileNotFoundError, PermissionError) as exc:
        # What a shell answers, so that callers need one case only.
        code = 127 if isinstance(exc, FileNotFoundError) else 126
        said = f"{argv[0]}: {exc.strerror}\n".encode()
        finished = Finished(exit_code=code, stdout=b"", stderr=said)
    except TimedOut as exc:
        raise DeviceUnreachable(
            target.name,
            Unreachability.TIMEOUT,
            f"{target.name}: {exc}.",
            hint="The command was killed.",
        ) from exc
    except SudoRefused as exc:
        raise _sudo_refused(target, str(exc)) from exc
    except (TooMuchOutput, WireBroken) as exc:
        raise DeviceUnreachable(
            target.name, Unreachability.PROTOCOL, f"{target.name}: {exc}."
        ) from exc
    except SourceChanged as exc:
        raise WorkerFailed(f"{exc}.", address=target.name) from exc
    finally:
        wire.release()
    if sudo and password is None:
        refusal = sudo_refusal(finished.exit_code, finished.stdout, finished.stderr)
        if refusal is not None:
            raise _sudo_refused(target, refusal)
    return finished


def plain_environment() -> Mapping[str, str]:
    """What a login would give, and nothing of ours."""
    me = pwd.getpwuid(os.geteuid())
    return {"PATH": SEARCH_PATH, "HOME": me.pw_dir, "USER": me.pw_name, "LANG": "C.UTF-8"}


class ProcessWire:
    """`edgeform.transport.conversation.Wire` over three pipes of a process group of its own."""

    def __init__(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_cut = False
        # Closing it wakes every poll below: a blocked read or write cannot be woken otherwise.
        self._wake_read, self._wake_write = os.pipe()
        self._is_awake = False

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=self._environment,
            start_new_session=True,
        )
        os.set_blocking(self._fd("stdin"), False)

    def send(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        fd = self._fd("stdin")
        while left:
            if not self._wait(fd, select.POLLOUT):
                raise BrokenPipeError
            try:
                left = left[os.write(fd, left[:CHUNK_BYTES]) :]
            except BlockingIOError:
                continue

    def close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def read(self) -> bytes:
        return self._read("stdout")

    def read_stderr(self) -> bytes:
        return self._read("stderr")

    def exit_code(self) -> int | None:
        if self._process is None:
            return None
        code = self._process.wait()
        if self._is_cut:
            return None
        return code if code >= 0 else 128 - code

    def cut(self) -> None:
        self._is_cut = True
        if self._process is not None and self._process.poll() is None:
            # Gone already, or sudo's; then the `timeout` beside it ends it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._wake()

    def close(self) -> None:
        self._wake()

    def release(self) -> None:
        """Give the descriptors back, once no thread uses them any more."""
        self._wake()
        os.close(self._wake_read)
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            os.close(self._wake_write)

    def _read(self, stream: str) -> bytes:
        fd = self._fd(stream)
        return os.read(fd, CHUNK_BYTES) if self._wait(fd, select.POLLIN) else b""

    def _wait(self, fd: int, event: int) -> bool:
        """True when the descriptor is ready; False when the wire was cut or closed meanwhile."""
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._wake_read, 0)  # its closing is reported without being asked for
        ready = dict(poll.poll())
        if ready.get(self._wake_read, 0) & _ERRORS:
            return bool(ready.get(fd)) and event == select.POLLIN
        return True

    def _fd(self, stream: str) -> int:
        pipe = getattr(self._process, stream)
        if pipe is None or pipe.closed:
            raise BrokenPipeError
        return int(pipe.fileno())


def _sudo_refused(target: Target, said: str) -> DeviceUnreachable:
    return DeviceUnreachable(
        target.name,
        Unreachability.SUDO,
        f"sudo on {target.name} did not run the command: {said or 'it said nothing'}",
        hint="Give this user a NOPASSWD entry, or name connect.sudo_password in the site.",
    )
