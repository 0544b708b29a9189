"""The SSH servers of the unprivileged devices: one process for all of them, no root needed.

Each device has its own port, host key and directory; commands are run by a real shell with the rights of
whoever runs the lab. It is no sandbox: absolute paths reach the host's files.

    python -m edgeform.lab.rootless DIRECTORY [OWNER_PID]
"""

import asyncio
import collections
import contextlib
import getpass
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh

from edgeform.lab.failure import LabMisused
from edgeform.lab.faults import read_fault
from edgeform.lab.leftovers import process_start
from edgeform.lab.relay import CHUNK_BYTES, Relay, reset
from edgeform.lab.rootless_device import RootlessDirectory
from edgeform.lab.rootless_state import read_state, write_state


class _Login(asyncssh.SSHServer):
    """Only the lab's own key opens a device, under any user name."""

    def __init__(self, key: asyncssh.SSHKey) -> None:
        self._key = key

    def begin_auth(self, _username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, _username: str, key: asyncssh.SSHKey) -> bool:
        return bool(key.public_data == self._key.public_data)


class _Files(asyncssh.SFTPServer):
    """Relative paths begin in the device's home, as after a real login."""

    def __init__(self, channel: asyncssh.SSHServerChannel, home: Path) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)  # noqa: PTH118 - SFTP speaks bytes

    def realpath(self, path: bytes) -> bytes:
        return os.path.realpath(self.map_path(path))


class Device:
    """One device: a listening socket while it is on, and the connections that it holds."""

    def __init__(self, directory: RootlessDirectory, user_key: asyncssh.SSHKey) -> None:
        self._directory = directory
        self._user = getpass.getuser()
        self._options = asyncssh.SSHServerConnectionOptions(
            server_factory=lambda: _Login(user_key),
            server_host_keys=[str(directory.host_key)],
            process_factory=self._serve_command,
            sftp_factory=lambda channel: _Files(channel, directory.home),
            allow_scp=True,
            encoding=None,
            # A detached program of the device must not be ended by a quiet line.
            keepalive_interval=0,
            login_timeout=30,
        )
        self._sockets: set[socket.socket] = set()
        self._commands: collections.Counter[int] = collections.Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self.port = 0

    def switch_on(self) -> None:
        """Begin another boot: a new boot id, rc.local where there is one, and SSH."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._directory.new_boot()
        start_script = self._directory.root / "etc/rc.local"
        if os.access(start_script, os.X_OK):
            # The child lives on by itself, like everything that a boot script starts.
            self._spawn(self._run_detached(str(start_script)))
        self._listening = asyncio.create_task(self._listen(listener))

    async def switch_off(self) -> None:
        """Take the power: no port, no connection, no process is left."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        for held in tuple(self._sockets):
            reset(held)
        self._sockets.clear()
        await asyncio.to_thread(self._directory.kill_processes)

    @property
    def is_on(self) -> bool:
        return self._listening is not None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_detached(self, program: str) -> None:
        process = await asyncio.create_subprocess_exec(
            program,
            cwd=self._directory.home,
            env=self._directory.environment(self._user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        await process.wait()

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                connection, _ = await loop.sock_accept(listener)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._spawn(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        fault = read_fault(self._directory.path)
        if fault.refuse:
            reset(connection)
            return
        self._sockets.add(connection)
        try:
            if not fault.concerns_bytes:
                await self._speak(connection)
                return
            inner, outer = socket.socketpair()
            inner.setblocking(False)
            connection.setblocking(False)
            try:
                await asyncio.gather(self._speak(outer), Relay(connection, inner, fault).run())
            finally:
                inner.close()
                connection.close()
        finally:
            self._sockets.discard(connection)

    async def _speak(self, line: socket.socket) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            connection = await asyncssh.run_server(line, options=self._options)
            try:
                await connection.wait_closed()
            finally:
                self._commands.pop(id(connection), None)

    async def _serve_command(self, asked: asyncssh.SSHServerProcess) -> None:
        connection = asked.get_extra_info("connection")
        self._commands[id(connection)] += 1
        limit = read_fault(self._directory.path).kill_after_commands
        if 0 <= limit < self._commands[id(connection)]:
            connection.abort()
            return
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            *(("-c", asked.command) if asked.command else ()),
            cwd=self._directory.home,
            env=self._directory.environment(self._user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError
        feeding = asyncio.create_task(_feed(asked.stdin, process.stdin))
        # As with a real sshd, the session ends when the command has ended and nobody holds its
        # output open any more.
        with contextlib.suppress(asyncssh.Error, OSError):
            await asyncio.gather(
                _drain(process.stdout, asked.stdout), _drain(process.stderr, asked.stderr)
            )
        status = await process.wait()
        feeding.cancel()
        if status < 0:
            asked.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            asked.exit(status)


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    """Give a command what its client sends, until either of them has enough."""
    try:
        while chunk := await source.read(CHUNK_BYTES):
            sink.write(chunk)
            await sink.drain()
    except (asyncssh.Error, OSError):  # the client went away, or the command reads no further
        pass
    finally:
        sink.close()


async def _drain(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()


async def _control(
    devices: dict[str, Device],
    token: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One request, one answer: cut or boot a device."""
    with contextlib.closing(writer):
        asked = json.loads(await reader.readline())
        if not hmac.compare_digest(str(asked.get("token")), token):
            return
        device = devices[asked["device"]]
        match asked["verb"]:
            case "cut":
                await device.switch_off()
            case "boot" if not device.is_on:
                device.switch_on()
            case _:
                pass
        writer.write(json.dumps({"is_on": device.is_on}).encode() + b"\n")
        await writer.drain()


async def serve(directory: Path, owner_pid: int) -> None:
    """Run the devices named in `rootless.json` until asked to end, or until the owner is gone."""
    state = read_state(directory)
    if state is None:
        raise LabMisused(f"No lab is prepared in {directory}.")
    user_key = asyncssh.read_public_key(str(directory / "id_ed25519.pub"))
    devices = {
        name: Device(RootlessDirectory(path=directory / "devices" / name), user_key)
        for name in state.names
    }
    for device in devices.values():
        device.switch_on()
    control = await asyncio.start_server(
        lambda reader, writer: _control(devices, state.token, reader, writer), "127.0.0.1", 0
    )
    started = replace(
        state,
        pid=os.getpid(),
        pid_start=process_start(os.getpid()),
        control_port=control.sockets[0].getsockname()[1],
        ports=tuple(device.port for device in devices.values()),
    )
    write_state(directory, started)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    owner_start = process_start(owner_pid) if owner_pid else ""
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), timeout=1.0)
        if owner_pid and process_start(owner_pid) != owner_start:
            break
    control.close()
    for device in devices.values():
        await device.switch_off()


def main(arguments: list[str]) -> None:
    directory = Path(arguments[0])
    asyncio.run(serve(directory, int(arguments[1]) if len(arguments) > 1 else 0))


if __name__ == "__main__":
    main(sys.argv[1:])
