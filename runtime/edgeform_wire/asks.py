"""What a deployment has a device look for in its reports home: the parts of its class that never travel.

Over a connection the controller asks with each look. Where there is none, nobody could tell whether rules,
modules, groups, parameters and packages from apt are in place, unless the device knows what to look for.
"""

from typing import Any, Dict, Tuple

from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields

KINDS = ("files", "groups", "modules", "packages", "sysctl")
MAX_NAMES = 2000
MAX_NAME = 512

Asks = Tuple[Tuple[str, Tuple[str, ...]], ...]
"""(kind, names), the kinds in their order; a kind without names is left out."""


def asks_of(value: Dict[str, Any], what: str = "asks") -> Asks:
    """The asks of a received object.

    Raises:
        WireError: an unknown kind, or names that a probe would refuse.
    """
    fields = Fields(value, what)
    found = tuple((kind, fields.each(kind, _name)) for kind in KINDS if kind in value)
    fields.done()
    for kind, names in found:
        if not 0 < len(names) <= MAX_NAMES:
            raise WireError(f"{what}.{kind}: expected 1 to {MAX_NAMES} names, got {len(names)}")
    return found


def optional(asks: Asks) -> Dict[str, Any]:
    """The field of a policy or an origin, left out where there is nothing to ask."""
    return {"asks": {kind: list(names) for kind, names in asks}} if asks else {}


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or "\0" in value:
        raise WireError(f"{what}: {value!r:.80} is no name to ask for")
    return value
