"""Targets for transport tests."""

from pathlib import Path

from support.sshd import SshServer

from edgeform.domain.site import Connect
from edgeform.transport.base import Target


def a_target(
    server: SshServer, name: str = "cam-01", *, sudo_password=None, known_hosts=None, **connect
):
    """A device behind a test's sshd; every field of Connect can be given."""
    fields = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "key_file": str(server.client_key),
        "host_key": server.host_key(),
        "become": "none",
        "connect_timeout_s": 15.0,
    } | connect
    return Target(
        name=name,
        connect=Connect(**fields),
        sudo_password=sudo_password,
        known_hosts=None if known_hosts is None else Path(known_hosts),
    )
