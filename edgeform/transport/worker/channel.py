"""A command on an SSH channel, as the wire of a conversation."""

import contextlib

from paramiko import Channel, SSHException

from edgeform.transport.conversation import NO_EXIT_STATUS
from edgeform.transport.worker.link import Link

READ_BYTES = 256 * 1024


class ChannelWire:
    """`edgeform.transport.conversation.Wire` over SSH; `cut` closes the whole connection."""

    def __init__(self, link: Link, channel: Channel, line: str) -> None:
        self._link = link
        self._channel = channel
        self._line = line

    def start(self) -> None:
        self._channel.exec_command(self._line)

    def send(self, chunk: bytes) -> None:
        # sendall waits for the other side's window and raises OSError once the channel is closed.
        self._channel.sendall(chunk)

    def close_stdin(self) -> None:
        self._channel.shutdown_write()

    def read(self) -> bytes:
        return self._channel.recv(READ_BYTES)

    def read_stderr(self) -> bytes:
        return self._channel.recv_stderr(READ_BYTES)

    def exit_code(self) -> int | None:
        code = self._channel.recv_exit_status()
        if code >= 0:
            return code
        # The server closed the channel without a status: the command was killed by a signal. Without
        # the server there is no channel either, and then nobody knows how the command ended.
        return NO_EXIT_STATUS if self._link.is_open else None

    def cut(self) -> None:
        self._link.close()

    def close(self) -> None:
        with contextlib.suppress(SSHException, EOFError, OSError):
            self._channel.close()
