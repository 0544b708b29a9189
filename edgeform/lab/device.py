"""What a lab device is, and what one may be asked to be."""

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from edgeform.lab.failure import LabMisused


class LabKind(StrEnum):
    """How real the devices are; the first is the better one of those that are chosen by themselves.

    A virtual machine is the most real and the slowest: it has to be asked for.
    """

    NSPAWN = "nspawn"
    ROOTLESS = "rootless"
    VM = "vm"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabDevice:
    """All that somebody needs to reach one device; nothing in it says how the device was made.

    Attributes:
        prefix: where edgeform's own directory is on the device.
        root: what a probe's `--root` must be given: "/" on a real system.
        known_hosts_line: pins the device's key.
    """

    name: str
    kind: LabKind
    host: str
    port: int
    user: str
    key_path: str
    known_hosts_line: str
    prefix: str
    root: str


class SudoRule(StrEnum):
    """What the user `edge` may do as root."""

    NO_PASSWORD = "no_password"  # noqa: S105 - the absence of one
    PASSWORD = "password"  # noqa: S105 - a word of the vocabulary
    NONE = "none"


class DiskKind(StrEnum):
    """EXT4 survives a power cut; TMPFS survives a reboot only, and needs no loop device."""

    EXT4 = "ext4"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A path of the host that the device sees."""

    source: str
    target: str
    writable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOptions:
    """In what way a systemd device differs from the ordinary one.

    Attributes:
        store_mb: size of /var/lib/edgeform, which is then a file system of its own; 0: unlimited.
        password: of `edge` under SudoRule.PASSWORD, and of `root` under `day_zero`.
        day_zero: as it comes from its vendor: only root, only a password, no user `edge`, no key.
        python: "" keeps the template's; "none" takes it away; otherwise the prefix of an
            interpreter on this host that becomes /usr/bin/python3.
    """

    memory_mb: int = 0
    cpu_percent: int = 0
    store_mb: int = 0
    store_kind: DiskKind = DiskKind.EXT4
    sudo: SudoRule = SudoRule.NO_PASSWORD
    password: str = ""
    day_zero: bool = False
    python: str = ""
    binds: tuple[Bind, ...] = ()

    def __post_init__(self) -> None:
        if (self.day_zero or self.sudo is SudoRule.PASSWORD) and not self.password:
            raise LabMisused("A device that is entered or administered by password needs one.")
        for path in (self.python, *(b.source for b in self.binds), *(b.target for b in self.binds)):
            # nspawn separates the parts of a bind by colons and has its own quoting.
            if ":" in path or "\\" in path:
                raise LabMisused(f"A bound path must hold neither colon nor backslash: {path!r}")


_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def checked_name(name: str) -> str:
    """The name, if it can be a host name.

    Raises:
        LabMisused: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise LabMisused(
            f"{name!r} cannot be the name of a lab device: lower-case letters, digits and hyphens."
        )
    return name


def options_to_json(options: DeviceOptions) -> str:
    return json.dumps(asdict(options))


def options_from_json(text: str) -> DeviceOptions:
    """The options again that `options_to_json` wrote."""
    fields = json.loads(text)
    fields["store_kind"] = DiskKind(fields["store_kind"])
    fields["sudo"] = SudoRule(fields["sudo"])
    fields["binds"] = tuple(Bind(**bind) for bind in fields["binds"])
    return DeviceOptions(**fields)


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace the file in one step: whoever reads it sees the old or the new text."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.touch()
    fresh.chmod(mode)
    fresh.write_text(text)
    fresh.replace(path)
