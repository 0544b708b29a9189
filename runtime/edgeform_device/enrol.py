"""Enrolment: a device learns who it is and whom it obeys, and makes the key that speaks for it.

Running it again with the same words changes nothing. It never replaces a root and never renames a device:
whoever may do that has the disk in hand.
"""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from typing import Any, Optional, Tuple

from edgeform_device import identity, secrets, signing, systemd, tuf
from edgeform_device.durable import Disk
from edgeform_device.errors import Refused, Usage
from edgeform_device.identity import Identity
from edgeform_device.layout import Layout
from edgeform_wire import artifact
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

FOLDERS = (
    ("state", 0o755),
    ("trust", 0o755),
    ("blobs/sha256", 0o755),
    ("trees", 0o755),
    ("gen", 0o755),
    ("derived", 0o755),
    ("incoming", 0o700),
    ("secrets", 0o700),
    ("tool", 0o755),
    ("bin", 0o755),
)
# The script and unit files name the prefix without quoting it.
_PREFIX = re.compile(r"/[A-Za-z0-9._/+-]{1,200}\Z")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_TOOL_NAME = re.compile(r"([0-9a-f]{64})\.pyz\Z")


@dataclass(frozen=True)
class Wish:
    """What the controller asks for; `services` None leaves the choice to the device."""

    site: str
    device: str
    root: bytes
    services: Optional[str]
    user: str


@dataclass(frozen=True)
class Enrolled:
    """What the operator compares: the code stands for the root and the key together."""

    identity: Identity
    device_key: Optional[str]
    root_digest: str
    code: str
    profile: str


def read_wish(value: Any) -> Wish:
    """The request, proven.

    Raises:
        Usage: names the field that is wrong.
    """
    try:
        fields = Fields(value, "enrol")
        found = Wish(
            site=artifact.check_segment(fields.text("site"), "site"),
            device=artifact.check_segment(fields.text("device"), "device"),
            root=fields.text("root").encode("utf-8"),
            services=fields.optional_text("services"),
            user=fields.text("user", default="root"),
        )
        fields.done()
    except WireError as exc:
        raise Usage("The request to enrol cannot be read.", detail=str(exc)) from exc
    if found.services not in (None, *identity.SERVICES):
        raise Usage(f"services {found.services!r:.40} is none of {', '.join(identity.SERVICES)}.")
    if not _USER.match(found.user):
        raise Usage(f"{found.user!r:.60} is no name of a user.")
    return found


def enrol(disk: Disk, layout: Layout, wish: Wish, root: str) -> Enrolled:
    """Make this prefix the device that the wish names.

    Args:
        root: where /proc, /sys and /run are, normally `/`.

    Raises:
        Refused: it is another device already, or services cannot be run as asked.
        NotTrusted: it obeys another root already, or this one does not sign itself.
    """
    if not _PREFIX.match(layout.prefix):
        raise Refused(
            f"The prefix {layout.prefix!r:.200} has characters that scripts and units do not carry.",
            hint="Use letters, digits, and . _ + - / only.",
        )
    services = _services(wish, root)
    _check_same_device(disk, layout, wish)
    for folder, mode in FOLDERS:
        disk.mkdir(layout.under(folder), mode)
    profile = tuf.install_root(layout.trust_dir, wish.root)
    disk.fill_reserve()
    device_key = signing.make_key(disk, layout)
    secrets.make_key(disk, layout)
    who = Identity(
        site=wish.site,
        device=wish.device,
        services=services,
        run_dir=layout.run_dir,
        user=wish.user,
        root=root,
    )
    tool = install_running_tool(disk, layout)
    if services == "systemd" and tool is not None:
        systemd.install_recovery(disk, layout, command_of(layout, tool))
    if disk.read(layout.device) != who.encoded():
        disk.write_file(layout.device, who.encoded())
    root_digest = digests.of_bytes(wish.root)
    return Enrolled(
        identity=who,
        device_key=device_key,
        root_digest=root_digest,
        code=identity.short_code(root_digest, device_key or ""),
        profile=profile,
    )


def _services(wish: Wish, root: str) -> str:
    has_systemd = os.path.isdir(os.path.join(root, "run/systemd/system"))
    if wish.services is None:
        return "systemd" if has_systemd and os.geteuid() == 0 else "supervisor"
    if wish.services == "systemd" and not has_systemd:
        raise Refused(
            "Services are to be run by systemd, and systemd does not run here.",
            detail="/run/systemd/system does not exist.",
            hint="Write `services: supervisor` for this device in the site spec.",
        )
    return wish.services


def _check_same_device(disk: Disk, layout: Layout, wish: Wish) -> None:
    if not disk.exists(layout.device):
        return
    present = identity.load(disk, layout)
    if (present.site, present.device) != (wish.site, wish.device):
        raise Refused(
            f"This device is {present.site}/{present.device} already,"
            f" and was asked to become {wish.site}/{wish.device}.",
            detail=f"Its prefix is {layout.prefix}. Nothing was changed.",
            hint="Check the address in the site spec. To give the device away, remove its prefix.",
        )


def install_running_tool(disk: Disk, layout: Layout) -> Optional[str]:
    """The path of this very tool in the prefix, with the command that names it; None outside a .pyz."""
    source = running_tool()
    if source is None:
        return None
    digest = digests.of_file(source)
    path = layout.tool(digest)
    if not disk.exists(path):
        tmp = path + ".tmp"
        shutil.copyfile(source, tmp)
        os.chmod(tmp, 0o644)
        disk.publish(tmp, path)
    if disk.read(layout.command) is None:
        write_command(disk, layout, digest)
    return path


def write_command(disk: Disk, layout: Layout, tool_digest: str) -> None:
    """Make `bin/edgeform-device` run this tool from now on, by one rename."""
    disk.write_file(layout.command, command_script(layout, tool_digest), 0o755)


def command_of(layout: Layout, tool: str) -> Tuple[str, ...]:
    """How that tool is run for this prefix, up to the verb, whatever directory and environment."""
    python = shutil.which("python3") or sys.executable
    return (python, "-I", "-S", "-B", tool, "--prefix", layout.prefix)


def command_script(layout: Layout, tool_digest: str) -> bytes:
    """The two lines of `bin/edgeform-device`; isolated from the caller's environment and packages."""
    run = f"exec python3 -I -S -B {layout.tool(tool_digest)} --prefix {layout.prefix}"
    return f'#!/bin/sh\n{run} "$@"\n'.encode()


def running_tool() -> Optional[str]:
    """The .pyz that this process runs from; None when it runs from a checkout."""
    path = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    return path if path.endswith(".pyz") and os.path.isfile(path) else None


def running_digest() -> Optional[str]:
    """The digest in the name of the running tool's file, which was proven when it was installed."""
    found = _TOOL_NAME.search(running_tool() or "")
    return digests.PREFIX + found.group(1) if found else None
