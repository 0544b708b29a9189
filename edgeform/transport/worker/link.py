"""An authenticated SSH connection, through jump hosts if need be, made within a budget of seconds.

Host keys are compared before anything is sent, on every hop. A peer that falls silent is left behind by
closing the socket from another greenlet; nothing else is reliable.
"""

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import gevent
from gevent.lock import BoundedSemaphore
from paramiko import (
    AuthenticationException,
    Channel,
    ChannelException,
    PKey,
    SSHClient,
    SSHException,
    Transport,
)
from paramiko.ssh_exception import IncompatiblePeer
from pyinfra.api.exceptions import PyinfraError
from pyinfra.connectors.ssh_util import load_key_with_certificate

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Target
from edgeform.transport.hostkeys import Pins
from edgeform.transport.worker.pinned import (
    OnlyPinned,
    WrongHostKey,
    device_pins,
    hop_pins,
    prefer,
)
from edgeform.transport.worker.road import Hop, road_to

KEEPALIVE_S = 15

HANDSHAKES = BoundedSemaphore(16)
"""Handshakes are the one thing that costs CPU here: more of them at once and each runs out of time."""

_T = TypeVar("_T")
_Socket = socket.socket | Channel


class PeerSilent(Exception):
    """The other side said nothing for as long as it was given."""


def within(seconds: float, work: Callable[[], _T], cut: Callable[[], None]) -> _T:
    """What `work` returns or raises; after `seconds` it is cut off and PeerSilent raised."""
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def attempt() -> None:
        try:
            outcome.append(work())
        except BaseException as exc:  # noqa: BLE001 - handed to the caller, in its own greenlet
            failure.append(exc)

    greenlet = gevent.spawn(attempt)
    greenlet.join(max(seconds, 0.0))
    if not greenlet.ready():
        cut()
        greenlet.kill(block=False)
        raise PeerSilent
    if failure:
        raise failure[0]
    return outcome[0]


class Link:
    """An open connection to a device. One command at a time; `close` is safe from any greenlet."""

    def __init__(self, clients: list[SSHClient]) -> None:
        self._clients = clients
        self._proxy: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> SSHClient:
        return self._clients[-1]

    @property
    def transport(self) -> Transport:
        transport = self.client.get_transport()
        if transport is None:
            raise SSHException("the connection is closed")
        return transport

    @property
    def is_open(self) -> bool:
        transport = self.client.get_transport()
        return transport is not None and transport.is_active()

    def session(self, budget_s: float) -> Channel:
        """A new channel on this connection.

        Raises:
            PeerSilent, SSHException, EOFError, OSError: there is nobody at the other end any more.
        """
        return within(budget_s, self.transport.open_session, self.close)

    def close(self) -> None:
        """Close every connection on the way, the device's first."""
        for client in reversed(self._clients):
            client.close()
        if self._proxy is not None and self._proxy.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._proxy.pid, signal.SIGKILL)

    def through(self, proxy_command: str) -> socket.socket:
        """The near end of a ProxyCommand, which lives as long as this connection.

        Not paramiko's: that one reads its pipe with a select that does not work under gevent.
        """
        near, far = socket.socketpair()
        with far:
            self._proxy = subprocess.Popen(
                ("sh", "-c", f"exec {proxy_command}"),
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return near


def open_link(target: Target) -> Link:
    """A fresh connection to the device, within `connect.connect_timeout_s` seconds for the whole road.

    Raises:
        DeviceUnreachable: with the reason, and what to do about it.
    """
    attempt = _Attempt(target)
    try:
        *jumps, last = road_to(target)
        for jump in jumps:
            attempt.go(jump, f"The jump host {jump} of {target.name}", hop_pins(target, jump))
        attempt.go(last, f"{target.name} ({last})", device_pins(target, last))
    except BaseException:
        attempt.link.close()
        raise
    return attempt.link


class _Attempt:
    """One try to get to a device, hop by hop, on one budget."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._budget_s = target.connect.connect_timeout_s
        self._deadline = time.monotonic() + self._budget_s
        self._clients: list[SSHClient] = []
        self.link = Link(self._clients)

    def go(self, hop: Hop, who: str, pins: Pins) -> None:
        """Connect to the next server and log in there."""
        keys = self._private_keys(hop, who)
        sock = self._reach(hop, who)
        asked = time.monotonic()
        with HANDSHAKES:
            # Waiting for a free place is our doing, not the device's.
            self._deadline += time.monotonic() - asked
            client = SSHClient()
            client.set_missing_host_key_policy(OnlyPinned(pins, who))
            self._clients.append(client)
            login = partial(
                _login, client, hop, keys=keys, sock=sock, pins=pins, left_s=self._left_s
            )
            try:
                within(self._left_s, login, partial(_end, sock))
            except (
                PeerSilent, WrongHostKey, AuthenticationException, SSHException, EOFError, OSError,
            ) as exc:  # fmt: skip
                _end(sock)
                raise self._refused(hop, who, exc) from exc

    @property
    def _left_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def _reach(self, hop: Hop, who: str) -> _Socket:
        left_s = self._left_s
        try:
            if self._clients:
                ask = partial(self.link.transport.open_channel, "direct-tcpip")
                ends = ((hop.host, hop.port), ("127.0.0.1", 0))
                return within(left_s, partial(ask, *ends), self.link.close)
            if hop.proxy_command is not None:
                return self.link.through(hop.proxy_command)
            # The name is looked up in a thread that no socket timeout covers.
            return within(left_s, partial(_tcp, hop, left_s), lambda: None)
        except (PeerSilent, TimeoutError):
            detail = f"{who} did not answer within {self._budget_s:g} s."
        except socket.gaierror as exc:
            detail = f"{who}: the name {hop.host} is not known ({exc.strerror})."
        except ChannelException as exc:
            detail = f"{who} is not reachable from the jump host before it: {exc.text}."
        except (SSHException, EOFError, OSError) as exc:
            detail = f"{who} does not accept connections: {_sentence(exc)}"
        hint = "Is it switched on, on this network, and are connect.host and connect.port right?"
        raise self._unreachable(Unreachability.CONNECT, detail, hint)

    def _private_keys(self, hop: Hop, who: str) -> tuple[PKey, ...]:
        """The first key, with its certificate if it has one; paramiko loads the others if it is refused."""
        if not hop.key_files:
            return ()
        try:
            return (load_key_with_certificate(key_filename=hop.key_files[0], allow_prompt=False),)
        except (PyinfraError, SSHException, OSError, ValueError) as exc:
            if hop.use_agent:
                return ()
            raise self._unreachable(
                Unreachability.AUTHENTICATION,
                f"The private key for {who} cannot be used: {_sentence(exc)}",
                "A key with a passphrase belongs into an SSH agent: set connect.use_agent.",
            ) from exc

    def _refused(self, hop: Hop, who: str, exc: Exception) -> DeviceUnreachable:
        match exc:
            case PeerSilent():
                return self._unreachable(
                    Unreachability.TIMEOUT,
                    f"{who} accepts connections, but SSH did not answer within {self._budget_s:g} s.",
                    "The device may be overloaded or hanging; look at its console.",
                )
            case WrongHostKey(hint=hint):
                return self._unreachable(Unreachability.HOST_KEY, str(exc), hint)
            case AuthenticationException():
                return self._unreachable(
                    Unreachability.AUTHENTICATION,
                    f"{who} refused the login: {_sentence(exc)}",
                    f"Keys tried: {_keys_tried(hop)}. "
                    f"Is the public key in {hop.user}'s authorized_keys?",
                )
            case SSHException() if "no authentication methods available" in str(exc).lower():
                return self._unreachable(
                    Unreachability.AUTHENTICATION,
                    f"There is no key to log in to {who} with.",
                    "Name one in connect.key_file, or set connect.use_agent.",
                )
            case IncompatiblePeer():
                detail = f"{who} and we have no SSH algorithm in common: {_sentence(exc)}"
                return self._unreachable(Unreachability.PROTOCOL, detail, "")
            case _:
                return self._unreachable(
                    Unreachability.CONNECT,
                    f"{who} ended the connection during the SSH handshake: {_sentence(exc)}",
                    "Is that port SSH? sshd also does it when it has too many connections "
                    "(MaxStartups), or has banned this address.",
                )

    def _unreachable(self, reason: Unreachability, detail: str, hint: str) -> DeviceUnreachable:
        return DeviceUnreachable(self._target.name, reason, detail, hint=hint)


def _tcp(hop: Hop, left_s: float) -> socket.socket:
    sock = socket.create_connection((hop.host, hop.port), timeout=left_s)
    # paramiko leaves Nagle on: 44 ms for each of a burst of commands instead of 1.2 ms.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _login(
    client: SSHClient, hop: Hop, *, keys: tuple[PKey, ...], sock: _Socket, pins: Pins, left_s: float
) -> None:
    def pinned_transport(raw: _Socket, **options: object) -> Transport:
        made = Transport(raw, **options)  # type: ignore[arg-type]
        prefer(made, pins)
        return made

    client.connect(
        hop.host,
        port=hop.port,
        username=hop.user,
        pkey=keys[0] if keys else None,
        key_filename=list(hop.key_files[1:]) or None,  # type: ignore[arg-type]
        allow_agent=hop.use_agent,
        look_for_keys=not hop.key_files and not hop.use_agent,
        sock=sock,
        timeout=left_s,
        banner_timeout=left_s,
        auth_timeout=left_s,
        channel_timeout=left_s,
        transport_factory=pinned_transport,  # type: ignore[arg-type]
    )
    made = client.get_transport()
    if made is not None:
        made.set_keepalive(KEEPALIVE_S)


def _keys_tried(hop: Hop) -> str:
    tried = list(hop.key_files)
    if hop.use_agent:
        tried.append("the SSH agent's")
    return ", ".join(tried) or "the usual ones of " + getpass.getuser()


def _end(sock: _Socket) -> None:
    with contextlib.suppress(OSError):
        sock.close()


def _sentence(exc: BaseException) -> str:
    text = str(exc).strip() or type(exc).__name__
    return text if text.endswith((".", "!")) else text + "."
