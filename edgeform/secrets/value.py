"""A secret in memory: it can be used, and it cannot be shown by accident.

`repr`, `str`, `format` and logging say `***`; JSON, pickle and arithmetic refuse. Whoever really needs
the bytes writes `.reveal()`, which is easy to find in a review.
"""

import hashlib
import hmac
from typing import NoReturn

MASK = "***"


class SecretValue:
    """Bytes that must not be seen. Equal to another one with the same bytes, and unhashable."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def reveal(self) -> bytes:
        """The bytes themselves: hand them on at once, and to standard input or a file of mode 0600."""
        return self._content

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(self._content, other._content)

    __hash__ = None  # type: ignore[assignment]  # a set of secrets would compare by a visible hash

    def __copy__(self) -> "SecretValue":
        return self

    def __deepcopy__(self, memo: object) -> "SecretValue":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is never pickled: hand over its reference and resolve it there")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret has no state to hand out")


def hmac_of(site_key: SecretValue, value: SecretValue, context: str = "") -> str:
    """What a plan and a manifest may know about a secret: whether it changed, and nothing more.

    A bare hash would let anybody guess short secrets; the site's key prevents that. `context` (the
    device and the secret's name) keeps equal secrets of two places from looking equal.
    """
    message = context.encode("utf-8") + b"\0" + value.reveal()
    return "hmac-sha256:" + hmac.new(site_key.reveal(), message, hashlib.sha256).hexdigest()
