"""An authenticated SSH connection, through jump hosts if need be, made within a budget of seconds.

Host keys are compared by `edgeform.transport.hostkeys` before anything is sent, on every hop. A peer
that falls silent is left behind by closing the socket from another greenlet; nothing else is reliable.
"""

import getpass
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent.lock import BoundedSemaphore
from paramiko import (
    AuthenticationException,
    Channel,
    ChannelException,
    PKey,
    ProxyCommand,
    SSHClient,
    SSHException,
    Transport,
)
from paramiko.client import MissingHostKeyPolicy
from paramiko.ssh_exception import IncompatiblePeer
from pyinfra.api.exceptions import PyinfraError
from pyinfra.connectors.ssh_util import load_key_with_certificate

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Target
from edgeform.transport.hostkeys import (
    HostKey,
    MalformedHostKey,
    Pins,
    judge,
    parse_host_key,
    pins_of,
)
from edgeform.transport.worker.road import Hop, known_hosts_lines, road_to

KEEPALIVE_S = 15

HANDSHAKES = BoundedSemaphore(16)
"""Handshakes are the one thing that costs CPU here: more of them at once and each runs out of time."""

_T = TypeVar("_T")

_RSA = ("rsa-sha2-512", "rsa-sha2-256")  # never ssh-rsa: that name means SHA-1 signatures


class PeerSilent(Exception):
    """The other side said nothing for as long as it was given."""


class WrongHostKey(Exception):
    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


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


def open_link(target: Target) -> Link:
    """A fresh connection to the device, within `connect.connect_timeout_s` seconds for the whole road.

    Raises:
        DeviceUnreachable: with the reason, and what to do about it.
    """
    clients: list[SSHClient] = []
    deadline = time.monotonic() + target.connect.connect_timeout_s
    try:
        *jumps, last = road_to(target)
        for jump in jumps:
            who = f"The jump host {jump} of {target.name}"
            deadline = _connect_hop(target, jump, who, _known(target, jump), clients, deadline)
        who = f"{target.name} ({last})"
        deadline = _connect_hop(target, last, who, _pins(target, last), clients, deadline)
    except BaseException:
        Link(clients).close()
        raise
    return Link(clients)


def _connect_hop(
    target: Target, hop: Hop, who: str, pins: Pins, clients: list[SSHClient], deadline: float
) -> float:
    """Append the hop's client; returns the deadline, later by the time spent waiting for a free place."""
    keys = _private_keys(target, hop, who)
    sock = _reach(target, hop, clients, deadline, who)
    asked = time.monotonic()
    with HANDSHAKES:
        deadline += time.monotonic() - asked
        client = SSHClient()
        client.set_missing_host_key_policy(_Pinned(pins, who))
        clients.append(client)
        left_s = deadline - time.monotonic()
        try:
            within(
                left_s, lambda: _login(client, hop, keys, sock, pins, left_s), lambda: _end(sock)
            )
        except PeerSilent:
            raise DeviceUnreachable(
                target.name,
                Unreachability.TIMEOUT,
                f"{who} accepts connections, but SSH did not answer within "
                f"{target.connect.connect_timeout_s:g} s.",
                hint="The device may be overloaded or hanging; look at its console.",
            ) from None
        except WrongHostKey as exc:
            raise DeviceUnreachable(
                target.name, Unreachability.HOST_KEY, str(exc), hint=exc.hint
            ) from None
        except AuthenticationException as exc:
            raise DeviceUnreachable(
                target.name,
                Unreachability.AUTHENTICATION,
                f"{who} refused the login: {_sentence(exc)}",
                hint=f"Keys tried: {_keys_tried(hop)}. Is the public key in {hop.user}'s authorized_keys?",
            ) from exc
        except (SSHException, EOFError, OSError) as exc:
            if "no authentication methods available" in str(exc).lower():
                raise DeviceUnreachable(
                    target.name,
                    Unreachability.AUTHENTICATION,
                    f"There is no key to log in to {who} with.",
                    hint="Name one in connect.key_file, or set connect.use_agent.",
                ) from exc
            raise _broken_handshake(target, who, exc) from exc
    return deadline


def _reach(
    target: Target, hop: Hop, clients: list[SSHClient], deadline: float, who: str
) -> "socket.socket | Channel | ProxyCommand":
    left_s = max(deadline - time.monotonic(), 0.0)
    try:
        if clients:
            before = Link(clients)
            return within(
                left_s,
                lambda: before.transport.open_channel(
                    "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0)
                ),
                before.close,
            )
        if hop.proxy_command is not None:
            return ProxyCommand(hop.proxy_command)
        # The name is looked up in a thread that no socket timeout covers.
        return within(left_s, lambda: _tcp(hop, left_s), lambda: None)
    except (PeerSilent, TimeoutError):
        detail = f"{who} did not answer within {target.connect.connect_timeout_s:g} s."
    except socket.gaierror as exc:
        detail = f"{who}: the name {hop.host} is not known ({exc.strerror})."
    except ChannelException as exc:
        detail = f"{who} is not reachable from the jump host before it: {exc.text}."
    except (SSHException, EOFError, OSError) as exc:
        detail = f"{who} does not accept connections: {_sentence(exc)}"
    raise DeviceUnreachable(
        target.name,
        Unreachability.CONNECT,
        detail,
        hint="Is it switched on, on this network, and is connect.host and connect.port right?",
    )


def _tcp(hop: Hop, left_s: float) -> socket.socket:
    sock = socket.create_connection((hop.host, hop.port), timeout=left_s)
    # paramiko leaves Nagle on: 44 ms for each of a burst of commands instead of 1.2 ms.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _login(
    client: SSHClient,
    hop: Hop,
    keys: tuple[PKey, ...],
    sock: "socket.socket | Channel | ProxyCommand",
    pins: Pins,
    left_s: float,
) -> None:
    def transport(raw: object, **options: object) -> Transport:
        made = Transport(raw, **options)  # type: ignore[arg-type]
        _prefer(made, pins)
        return made

    client.connect(
        hop.host,
        port=hop.port,
        username=hop.user,
        pkey=keys[0] if keys else None,
        key_filename=list(hop.key_files[1:]) or None,
        allow_agent=hop.use_agent,
        look_for_keys=not hop.key_files and not hop.use_agent,
        sock=sock,  # type: ignore[arg-type]
        timeout=left_s,
        banner_timeout=left_s,
        auth_timeout=left_s,
        channel_timeout=left_s,
        transport_factory=transport,
    )
    made = client.get_transport()
    if made is not None:
        made.set_keepalive(KEEPALIVE_S)


def _prefer(transport: Transport, pins: Pins) -> None:
    """Ask for the pinned key types first, or a server with several keys shows another one."""
    options = transport.get_security_options()
    offered = [kind for kind in options.key_types if kind != "ssh-rsa"]
    wanted: list[str] = []
    for key in pins.keys:
        wanted += _RSA if key.kind == "ssh-rsa" else (key.kind,)
    first = [kind for kind in dict.fromkeys(wanted) if kind in offered]
    options.key_types = [*first, *(kind for kind in offered if kind not in first)]


class _Pinned(MissingHostKeyPolicy):
    """Judges every key: the client itself is told about no known host."""

    def __init__(self, pins: Pins, who: str) -> None:
        self._pins = pins
        self._who = who

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        del client, hostname
        shown = HostKey(kind=key.get_name(), blob=key.asbytes())
        refusal = judge(self._pins, shown, who=self._who)
        if refusal is not None:
            raise WrongHostKey(refusal.detail, refusal.hint)


def _pins(target: Target, hop: Hop) -> Pins:
    if target.connect.host_key is not None:
        try:
            return Pins(keys=(parse_host_key(target.connect.host_key),))
        except MalformedHostKey as exc:
            raise DeviceUnreachable(
                target.name, Unreachability.HOST_KEY, f"connect.host_key is malformed: {exc}."
            ) from exc
    return _known(target, hop)


def _known(target: Target, hop: Hop) -> Pins:
    return pins_of(known_hosts_lines(target), hop.name, hop.port)


def _private_keys(target: Target, hop: Hop, who: str) -> tuple[PKey, ...]:
    """The first key, with its certificate if there is one; paramiko loads the others if it is refused."""
    if not hop.key_files:
        return ()
    try:
        return (load_key_with_certificate(key_filename=hop.key_files[0], allow_prompt=False),)
    except (PyinfraError, SSHException, OSError, ValueError) as exc:
        if hop.use_agent:
            return ()
        raise DeviceUnreachable(
            target.name,
            Unreachability.AUTHENTICATION,
            f"The private key for {who} cannot be used: {_sentence(exc)}",
            hint="A key with a passphrase belongs into an SSH agent: set connect.use_agent.",
        ) from exc


def _keys_tried(hop: Hop) -> str:
    tried = list(hop.key_files)
    if hop.use_agent:
        tried.append("the SSH agent's")
    return ", ".join(tried) or "the usual ones of " + getpass.getuser()


def _broken_handshake(target: Target, who: str, exc: Exception) -> DeviceUnreachable:
    if isinstance(exc, IncompatiblePeer) or "protocol version" in str(exc).lower():
        return DeviceUnreachable(
            target.name, Unreachability.PROTOCOL, f"{who} does not speak our SSH: {_sentence(exc)}"
        )
    return DeviceUnreachable(
        target.name,
        Unreachability.CONNECT,
        f"{who} ended the connection during the SSH handshake: {_sentence(exc)}",
        hint="sshd does that when it has too many connections (MaxStartups), or has banned this address.",
    )


def _end(sock: "socket.socket | Channel | ProxyCommand") -> None:
    try:
        sock.close()
    except OSError:
        pass


def _sentence(exc: BaseException) -> str:
    text = str(exc).strip() or type(exc).__name__
    return text if text.endswith((".", "!")) else text + "."
