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
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh

from edgeform.lab.failure import LabMisused
from edgeform.lab.faults import Fault, read_fault
from edgeform.lab.leftovers import process_start
from edgeform.lab.rootless_device import RootlessDirectory
from edgeform.lab.rootless_state import read_state, write_state

CHUNK_BYTES = 65536
IN_FLIGHT_CHUNKS = 256


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
            _reset(held)
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
            _reset(connection)
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
                await asyncio.gather(self._speak(outer), relay(connection, inner, fault))
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
        await asked.redirect(stdin=process.stdin, stdout=process.stdout, stderr=process.stderr)
        status = await process.wait()
        with contextlib.suppress(asyncssh.Error, OSError):
            await asked.stdout.drain()
            await asked.stderr.drain()
        if status < 0:
            asked.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            asked.exit(status)


async def relay(client: socket.socket, server: socket.socket, fault: Fault) -> None:
    """Carry bytes both ways until one side closes, misbehaving as the fault says."""
    stalled = asyncio.Event()
    if fault.stall_after_bytes == 0:
        stalled.set()
    received = 0

    def may_pass(chunk: bytes) -> bool:
        """Count what the client sent; False when the connection is to be cut."""
        nonlocal received
        received += len(chunk)
        if 0 <= fault.stall_after_bytes <= received:
            stalled.set()
        return not 0 <= fault.cut_after_bytes <= received

    tasks = [
        asyncio.create_task(_one_way(client, server, fault.delay_s, stalled, may_pass)),
        asyncio.create_task(_one_way(server, client, fault.delay_s, stalled, lambda _: True)),
    ]
    # A stalled direction never ends by itself: only its client, giving up, ends it.
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*done, *pending, return_exceptions=True)
    if 0 <= fault.cut_after_bytes <= received:
        _reset(client)


async def _one_way(
    source: socket.socket,
    target: socket.socket,
    delay_s: float,
    stalled: asyncio.Event,
    may_pass: Callable[[bytes], bool],
) -> None:
    loop = asyncio.get_running_loop()
    # Bounded, so that a slow line pushes back as a real one does.
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT_CHUNKS)

    async def deliver() -> None:
        while True:
            due, chunk = await line.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                return
            if not stalled.is_set():
                await loop.sock_sendall(target, chunk)

    carrier = asyncio.create_task(deliver())
    try:
        while chunk := await loop.sock_recv(source, CHUNK_BYTES):
            if not may_pass(chunk):
                return
            await line.put((loop.time() + delay_s, chunk))
        await line.put((loop.time() + delay_s, b""))
        await carrier
    finally:
        carrier.cancel()


def _reset(connection: socket.socket) -> None:
    """End a connection as a crash does: with a reset, without a farewell."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()


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
