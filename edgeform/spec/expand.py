"""`${device.x}`, `${vars.x}`, `${site.x}` and `${n}` in texts, and nothing else.

One pass: what was put in is not looked at again, so it always ends and its size is bounded. A text
that is nothing but one reference takes the value with its type; `$${` stands for a plain `${`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edgeform.spec.nodes import Block, Items, Path, Scalar, Value
from edgeform.spec.shape import nearest

MAX_TEXT = 65_536
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NOTHING: Mapping[str, Scalar] = {}


class BadReference(ValueError):
    """A `${...}` that means nothing here; `hint` may know what was meant."""

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What references can see; `n` only within an entry that has `each`."""

    site: Mapping[str, Scalar] = field(default_factory=dict)
    device: Mapping[str, Scalar] | None = None
    vars: Mapping[str, Scalar] | None = None
    n: str | None = None

    def value(self, reference: str) -> Scalar:
        """What a reference stands for.

        Raises:
            BadReference: there is nothing of that name, or not at this place.
        """
        space, _, name = reference.partition(".")
        if reference == "n":
            if self.n is None:
                raise BadReference("${n} has a value only in a device entry with `each`.")
            return self.n
        seen = {"device": self.device, "vars": self.vars, "site": self.site}
        if space not in seen or not name:
            names = ["n", "device.name", "vars.", "site.name", "device", "vars", "site"]
            known_forms = "There are: ${device.x}, ${vars.x}, ${site.x} and ${n}."
            hint = nearest(space, names) or known_forms
            raise BadReference(f"${{{reference}}} is not a reference.", hint)
        known = seen[space]
        if known is None:
            raise BadReference(f"${{{reference}}} cannot be used at this place.")
        if name not in known:
            among = ", ".join(f"{space}.{key}" for key in sorted(known)[:12]) or "nothing"
            hint = nearest(name, known) or f"Known here: {among}."
            raise BadReference(f"${{{reference}}} has no value here.", hint)
        return known[name]


def text_of(value: Scalar) -> str:
    """A value inside a longer text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def expanded_text(text: str, scope: Scope) -> Scalar:
    """A text with its references replaced.

    Raises:
        BadReference: see `Scope.value`; also for a `${` without its `}` and for a text that grows
            beyond 64 KiB.
    """

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        if not found[2]:
            raise BadReference("A `${` has no closing `}`.", "A plain `${` is written `$${`.")
        return text_of(scope.value(found[1].strip()))

    whole = _REFERENCE.fullmatch(text)
    if whole is not None and whole[0] != "$${" and whole[2]:
        return scope.value(whole[1].strip())
    result = _REFERENCE.sub(replaced, text)
    if len(result) > MAX_TEXT:
        raise BadReference(f"The text has {len(result):,} characters after replacing.")
    return result


def expanded(
    value: Value, scope: Scope, refuse: Callable[[Path, BadReference], None], path: Path = ()
) -> Value:
    """A value with all references in it replaced; the very same object where there are none.

    Args:
        refuse: is told of each bad reference; its text is kept as it stands.
    """
    if isinstance(value, str):
        if "${" not in value:
            return value
        try:
            return expanded_text(value, scope)
        except BadReference as exc:
            refuse(path, exc)
            return value
    if isinstance(value, Block) and value.is_dynamic:
        return Block(
            (key, expanded(item, scope, refuse, (*path, key))) for key, item in value.items()
        )
    if isinstance(value, Items) and value.is_dynamic:
        return Items(expanded(item, scope, refuse, (*path, n)) for n, item in enumerate(value))
    return value
