"""Targets for transport tests."""

from support.sshd import SshServer

from edgeform.domain.site import Connect
from edgeform.transport.base import Target


def a_target(server: SshServer, name: str = "cam-01", *, connect=None, **fields):
    """A device behind a test's sshd; `connect` replaces fields of Connect, the others those of Target."""
    how = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "key_file": str(server.client_key),
        "host_key": server.host_key(),
        "become": "none",
        "connect_timeout_s": 15.0,
    }
    return Target(name=name, connect=Connect(**(how | (connect or {}))), **fields)
