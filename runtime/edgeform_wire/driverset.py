"""What a deployment says about .deb files that travel with it: which, held or not, how to prove them."""

import re
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

UNDO = ("packages", "none")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{0,127}\Z")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~:-]{0,127}\Z")


@dataclass(frozen=True)
class DebPackage:
    """A Debian package of a driver artifact, and the file that is it; arch as Debian has it."""

    name: str
    version: str
    arch: str
    file: str

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class DriverSet:
    """The packages of one driver artifact that shall be installed before the generation is tried.

    Args:
        artifact: its digest; the generation lists it. held: packages that apt shall never upgrade by itself.
        verify: a command that exits 0 when the hardware answers; empty where there is nothing to ask.
        undo: `packages` (no change without a way back) or `none`. reboot: whether it takes effect after one.
    """

    artifact: str
    held: Tuple[str, ...]
    verify: Tuple[str, ...]
    undo: str
    reboot: bool

    def to_json(self) -> Dict[str, Any]:
        return dict(vars(self), held=list(self.held), verify=list(self.verify))


def driver_set(value: Dict[str, Any]) -> DriverSet:
    """The set of a received object.

    Raises:
        WireError: not the agreed form.
    """
    fields = Fields(value, "policy.drivers")
    found = DriverSet(
        artifact=fields.digest("artifact"),
        held=fields.each("held", _name),
        verify=fields.texts("verify"),
        undo=fields.choice("undo", UNDO),
        reboot=fields.boolean("reboot"),
    )
    fields.done()
    return found


def packages_of(metadata: Dict[str, Any]) -> Tuple[DebPackage, ...]:
    """The packages that a driver artifact's manifest names.

    Raises:
        WireError: not the agreed form.
    """
    return Fields(dict(metadata), "driver artifact").each("packages", _package)


def check_name(text: str, what: str = "package") -> str:
    """A package's name, which goes into command lines.

    Raises:
        WireError: outside Debian's grammar.
    """
    if not _NAME.match(text):
        raise WireError(f"{what}: {text!r:.80} is no name of a Debian package")
    return text


def _package(value: Any, what: str) -> DebPackage:
    fields = Fields(value, what)
    found = DebPackage(
        name=check_name(fields.text("name"), what),
        version=fields.text("version"),
        arch=fields.text("arch"),
        file=fields.text("file"),
    )
    fields.done()
    if not _VERSION.match(found.version) or not _NAME.match(found.arch) or "/" in found.file:
        raise WireError(f"{what}: version, architecture or file is outside the grammar")
    return found


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise WireError(f"{what}: expected text, got {value!r:.80}")
    return check_name(value, what)


def optional(value: Optional[DriverSet]) -> Dict[str, Any]:
    """The field of a policy, left out where there is nothing, as tools that do not know it want it."""
    return {} if value is None else {"drivers": value.to_json()}
