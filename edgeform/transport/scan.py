"""Which host key a machine shows, before anybody trusts it: a handshake, no login, nothing sent.

Plain paramiko in a thread of its own; pyinfra and gevent stay in the worker.
"""

import socket
from contextlib import closing

from paramiko import SSHException, Transport

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Target
from edgeform.transport.hostkeys import HostKey

PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")


def shown_host_key(target: Target, *, prefer: tuple[str, ...] = ()) -> HostKey:
    """The key that the device's address shows.

    Args:
        prefer: key types that are pinned, asked for first.

    Raises:
        DeviceUnreachable: no answer, or it is only reached through another host.
    """
    connect = target.connect
    if connect.proxy_jump or connect.config_file:
        raise DeviceUnreachable(
            target.name,
            Unreachability.HOST_KEY,
            f"{target.name} is reached through other hosts; its key cannot be looked at from here.",
            hint="Read it on the device and write it into the site:\n"
            "    cat /etc/ssh/ssh_host_ed25519_key.pub\n    host_key: ssh-ed25519 AAAA...",
        )
    address = (connect.host or target.name, connect.port)
    try:
        with (
            closing(socket.create_connection(address, timeout=connect.connect_timeout_s)) as sock,
            closing(Transport(sock)) as transport,
        ):
            options = transport.get_security_options()
            wanted = dict.fromkeys((*prefer, *PREFERRED))
            options.key_types = [kind for kind in wanted if kind in options.key_types]
            transport.banner_timeout = connect.connect_timeout_s
            transport.start_client(timeout=connect.connect_timeout_s)
            key = transport.get_remote_server_key()
            return HostKey(kind=key.get_name(), blob=key.asbytes())
    except (SSHException, EOFError, OSError) as exc:
        raise DeviceUnreachable(
            target.name,
            Unreachability.CONNECT,
            f"{address[0]}:{address[1]} showed no host key: {str(exc) or type(exc).__name__}.",
            hint="Is it switched on, on this network, and are connect.host and connect.port right?",
        ) from exc
