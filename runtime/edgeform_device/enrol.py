"""Enrolment: a device learns who it is and whom it obeys, and makes the key that speaks for it.

Running it again with the same words changes nothing. It never replaces a root and never renames a device:
whoever may do that has the disk in hand.
"""

import os
import pwd
import re
from dataclasses import dataclass
from typing import Any, Optional

from edgeform_device import bytecode, command, identity, secrets, signing, toolfile, tuf
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
RUNTIME_USER = "edgeform"
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")


@dataclass(frozen=True)
class Wish:
    """What the controller asks for; None leaves the choice to the device."""

    site: str
    device: str
    root: bytes
    services: Optional[str]
    user: Optional[str]


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
            user=fields.optional_text("user"),
        )
        fields.done()
    except WireError as exc:
        raise Usage("The request to enrol cannot be read.", detail=str(exc)) from exc
    if found.services not in (None, *identity.SERVICES):
        raise Usage(f"services {found.services!r:.40} is none of {', '.join(identity.SERVICES)}.")
    if found.user is not None and not _USER.match(found.user):
        raise Usage(f"{found.user!r:.60} is no name of a user.")
    return found


def enrol(disk: Disk, layout: Layout, wish: Wish, root: str) -> Enrolled:
    """Make this prefix the device that the wish names.

    Args:
        root: where /proc, /sys and /run are, normally `/`.

    A device that systemd runs recovers by itself after a boot from then on; under a supervisor whoever starts
    the machine has to call `edgeform-device recover`.

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
        user=_user(wish, services),
        root=root,
    )
    tool = toolfile.install_running_tool(disk, layout)
    if tool is not None:
        bytecode.write(tool)
        if services == "systemd":
            _recover_at_boot(disk, layout, tool, root)
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


def _recover_at_boot(disk: Disk, layout: Layout, tool: str, root: str) -> None:
    """Make this tool's file, and no link to it, what puts the state in order after a boot."""
    from edgeform_device import command, systemd  # noqa: PLC0415 - a supervisor's device has no use for them

    folder = os.path.join(root, systemd.PERMANENT_DIR.lstrip("/"))
    disk.mkdir(folder)
    is_new = systemd.install_recovery(disk, layout, toolfile.command_of(layout, tool), folder)
    if is_new and root == "/":
        command.run(("systemctl", "daemon-reload"))


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


def _user(wish: Wish, services: str) -> str:
    """Whom pipelines run as: under systemd a user of their own, who is made if missing."""
    if services != "systemd":
        return wish.user or pwd.getpwuid(os.geteuid()).pw_name
    user = wish.user or RUNTIME_USER
    try:
        pwd.getpwnam(user)
    except KeyError:
        command.run(
            (
                "useradd",
                "--system",
                "--no-create-home",
                "--home-dir=/nonexistent",
                "--shell=/usr/sbin/nologin",
                user,
            )
        )
    return user


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
