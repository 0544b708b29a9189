"""The way to a device: its address, the jump hosts before it, who logs in and which keys may do it.

Reads the OpenSSH client configuration that the site names, and no other. What it says about host key
checking and agent forwarding is not obeyed: checking is always strict, agents are never forwarded.
"""

import getpass
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pyinfra.connectors.sshuserclient.config import SSHConfig

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Target

MAX_HOPS = 8
DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One SSH server on the way; the last one is the device.

    Args:
        name: under which its host key is pinned (an alias in the configuration, or its address).
        key_files: private keys to try, in order; empty means the usual ones of this user.
    """

    name: str
    host: str
    port: int
    user: str
    key_files: tuple[str, ...]
    use_agent: bool
    proxy_command: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def road_to(target: Target) -> tuple[Hop, ...]:
    """Every server on the way, the device last.

    Raises:
        DeviceUnreachable: the configuration cannot be read, or the jumps go round in a circle.
    """
    connect = target.connect
    config = _config(target)
    jumps: str | None = connect.proxy_jump
    hop = _hop(
        config,
        connect.host or target.name,
        port=connect.port if connect.port != DEFAULT_PORT else None,
        user=connect.user or None,
        target=target,
    )
    if connect.key_file is not None:
        hop = replace(hop, key_files=(connect.key_file,))
    if jumps is None:
        jumps = config.get(connect.host or target.name, "proxyjump")
    if jumps is None or jumps.lower() == "none":
        return (hop,)
    return (*_jumps(config, jumps, target, depth=1), replace(hop, proxy_command=None))


def known_hosts_lines(target: Target) -> tuple[str, ...]:
    """The lines of the known_hosts file that the site pins its hosts in; nothing if there is none.

    Read anew for every connection, because a worker lives longer than a pin may.
    """
    path = target.connect.known_hosts or target.known_hosts
    if path is None:
        return ()
    try:
        return tuple(Path(path).expanduser().read_text("utf-8", "replace").splitlines())
    except OSError as exc:
        raise DeviceUnreachable(
            target.name,
            Unreachability.HOST_KEY,
            f"The known_hosts file {path} cannot be read: {exc.strerror}.",
            hint="Without it no host key is pinned, and nothing is connected to.",
        ) from exc


class _Config:
    """An OpenSSH client configuration, or none."""

    def __init__(self, parsed: SSHConfig | None) -> None:
        self._parsed = parsed

    def get(self, host: str, key: str) -> str | None:
        if self._parsed is None:
            return None
        return cast("str | None", self._parsed.lookup(host).get(key))

    def key_files(self, host: str) -> tuple[str, ...]:
        if self._parsed is None:
            return ()
        return tuple(cast("list[str]", self._parsed.lookup(host).get("identityfile", [])))


def _config(target: Target) -> _Config:
    path = target.connect.config_file
    if path is None:
        return _Config(None)
    parsed = SSHConfig()
    try:
        file = Path(path).expanduser()
        parsed.parse(_Lines(_from_site(target) + file.read_text("utf-8"), str(file)))
    except OSError as exc:
        raise DeviceUnreachable(
            target.name,
            Unreachability.CONNECT,
            f"The SSH configuration {path} cannot be read: {exc.strerror}.",
            hint="It is named by connect.config_file in the site.",
        ) from exc
    except Exception as exc:  # the parser raises bare Exception on include loops
        raise DeviceUnreachable(
            target.name,
            Unreachability.CONNECT,
            f"The SSH configuration {path} is malformed: {exc}",
        ) from exc
    return _Config(parsed)


class _Lines(io.StringIO):
    """Text with the name that relative Include statements are looked up beside."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def _from_site(target: Target) -> str:
    """What the site says, as the first lines: the first value wins, and goes into a ProxyCommand's %p."""
    connect = target.connect
    port = f"  Port {connect.port}\n" if connect.port != DEFAULT_PORT else ""
    user = f"  User {connect.user}\n" if connect.user else ""
    return f"Host {connect.host or target.name}\n{port}{user}Host *\n" if port or user else ""


def _hop(config: _Config, name: str, *, port: int | None, user: str | None, target: Target) -> Hop:
    key_files = config.key_files(name)
    if not key_files and target.connect.key_file is not None:
        key_files = (target.connect.key_file,)
    address = config.get(name, "hostname") or name
    return Hop(
        name=config.get(name, "hostkeyalias") or address,
        host=address,
        port=port or int(config.get(name, "port") or DEFAULT_PORT),
        user=user or config.get(name, "user") or getpass.getuser(),
        key_files=key_files,
        use_agent=target.connect.use_agent,
        proxy_command=config.get(name, "proxycommand"),
    )


def _jumps(config: _Config, jumps: str, target: Target, depth: int) -> tuple[Hop, ...]:
    if depth > MAX_HOPS:
        raise DeviceUnreachable(
            target.name,
            Unreachability.CONNECT,
            f"More than {MAX_HOPS} jump hosts on the way: the ProxyJump entries may go in a circle.",
        )
    hops: list[Hop] = []
    for index, jump in enumerate(jumps.split(",")):
        user, _, address = jump.strip().rpartition("@")
        name, port = _split_port(address)
        # As OpenSSH does it: the first jump host may itself be behind another one.
        before = config.get(name, "proxyjump") if index == 0 else None
        if before is not None and before.lower() != "none":
            hops += _jumps(config, before, target, depth + 1)
        hops.append(_hop(config, name, port=port, user=user or None, target=target))
    return tuple(hops)


def _split_port(address: str) -> tuple[str, int | None]:
    if address.startswith("["):
        name, _, port = address[1:].partition("]")
        return name, int(port[1:]) if port[1:].isdigit() else None
    name, colon, port = address.partition(":")
    if colon and port.isdigit():
        return name, int(port)
    return address, None
