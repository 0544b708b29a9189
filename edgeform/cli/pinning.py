"""Host keys: looked at, compared, pinned in the site's known_hosts, never replaced in passing."""

import os
from dataclasses import dataclass
from pathlib import Path

from edgeform.cli.workspace import Workspace
from edgeform.errors import NotTrusted
from edgeform.transport.base import Target
from edgeform.transport.hostkeys import HostKey, judge, known_name, parse_host_key, pins_of
from edgeform.transport.scan import shown_host_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A host key that may be relied on; `how` says why: it was pinned before, compared, or accepted."""

    key: HostKey
    how: str

    @property
    def is_new(self) -> bool:
        return self.how != "pinned"


def pin_host_key(
    target: Target, known_hosts: Path, *, fingerprint: str | None, accept_new: bool
) -> Pinned:
    """Look at the host key, compare it, and write it down if it is new and right.

    Args:
        fingerprint: `SHA256:...` as read from the device's label or console.
        accept_new: believe an unknown key, because nobody can compare it.

    Raises:
        NotTrusted: another key is pinned, the fingerprint is another, or nobody vouches for the key.
        DeviceUnreachable: it shows none.
    """
    connect = target.connect
    host = connect.host or target.name
    lines = known_hosts.read_text("utf-8").splitlines() if known_hosts.exists() else []
    pins = pins_of(lines, host, connect.port)
    if connect.host_key is not None:
        pinned = parse_host_key(connect.host_key)
        pins = type(pins)(keys=(pinned,), revoked=pins.revoked)
    shown = shown_host_key(target, prefer=tuple(key.kind for key in pins.keys))
    who = f"{target.name} ({known_name(host, connect.port)})"
    refusal = judge(pins, shown, who=who)
    if fingerprint is not None and fingerprint != shown.fingerprint:
        raise NotTrusted(
            f"{who} shows the host key {shown.fingerprint}, and {fingerprint} was expected.",
            address=target.name,
            hint="Nothing was sent. Either the address is another machine's, or something answers in its"
            " place.",
        )
    if refusal is None:
        return Pinned(key=shown, how="pinned")
    if pins.keys or shown in pins.revoked:
        raise NotTrusted(refusal.detail, address=target.name, hint=refusal.hint)
    if fingerprint is None and not accept_new:
        raise NotTrusted(
            f"{who} shows the host key {shown.fingerprint}, and nobody has vouched for it.",
            address=target.name,
            hint="Read the fingerprint on the device (its console, its label) and give it:\n"
            f"    edgeform enroll -l {target.name} --fingerprint SHA256:...\n"
            "or, where nobody can be in between, believe it once:\n"
            f"    edgeform enroll -l {target.name} --accept-new-host-key",
        )
    _append(known_hosts, f"{known_name(host, connect.port)} {shown.line}")
    return Pinned(key=shown, how="compared" if fingerprint is not None else "accepted")


def known_hosts_of(workspace: Workspace, target: Target) -> Path:
    """The file that pins this device: the one its site names, or the site's own."""
    named = target.connect.known_hosts
    return Path(named).expanduser() if named else workspace.known_hosts


def _append(known_hosts: Path, line: str) -> None:
    """One line more, whole or not at all."""
    content = known_hosts.read_text("utf-8") if known_hosts.exists() else ""
    if content and not content.endswith("\n"):
        content += "\n"
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    partial = known_hosts.with_name(known_hosts.name + ".tmp")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(f"{content}{line}\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(known_hosts)
