"""Host keys on a connection that is being made: ask for the pinned ones, refuse every other."""

from paramiko import PKey, SSHClient, Transport
from paramiko.client import MissingHostKeyPolicy

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
from edgeform.transport.worker.road import Hop, known_hosts_lines

_RSA = ("rsa-sha2-512", "rsa-sha2-256")  # never ssh-rsa: that name means SHA-1 signatures


class WrongHostKey(Exception):
    """The key shown is not a pinned one; nothing was sent."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


class OnlyPinned(MissingHostKeyPolicy):
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


def prefer(transport: Transport, pins: Pins) -> None:
    """Ask for the pinned key types first, or a server with several keys shows another one."""
    options = transport.get_security_options()
    offered = [kind for kind in options.key_types if kind != "ssh-rsa"]
    wanted: list[str] = []
    for key in pins.keys:
        wanted += _RSA if key.kind == "ssh-rsa" else (key.kind,)
    first = [kind for kind in dict.fromkeys(wanted) if kind in offered]
    options.key_types = [*first, *(kind for kind in offered if kind not in first)]


def device_pins(target: Target, hop: Hop) -> Pins:
    """The device's pinned key: its own in the site, else what the known_hosts file says."""
    if target.connect.host_key is None:
        return hop_pins(target, hop)
    try:
        return Pins(keys=(parse_host_key(target.connect.host_key),))
    except MalformedHostKey as exc:
        raise DeviceUnreachable(
            target.name, Unreachability.HOST_KEY, f"connect.host_key is malformed: {exc}."
        ) from exc


def hop_pins(target: Target, hop: Hop) -> Pins:
    """What the site's known_hosts file says about a server on the way."""
    return pins_of(known_hosts_lines(target), hop.name, hop.port)
