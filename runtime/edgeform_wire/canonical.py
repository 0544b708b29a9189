"""Canonical JSON: one value, one sequence of bytes, on every Python from 3.8 on.

UTF-8, keys sorted by code point, no white space, no NaN, no duplicate keys. Finite floats are
written as Python's shortest repr, which both sides of the wire share (they are both Python).
"""

import hashlib
import json
from typing import Any, List, Tuple

from edgeform_wire.errors import WireError

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


def encode(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        WireError: the value has NaN, infinity, a lone surrogate or a type JSON does not have.
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode("utf-8")
    except (TypeError, ValueError) as exc:
        raise WireError(f"cannot be written as canonical JSON: {exc}") from exc


def decode(document: bytes, what: str = "document") -> Any:
    """The value of a JSON document received from elsewhere.

    Raises:
        WireError: too large, not UTF-8, not JSON, a key twice, or NaN.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise WireError(f"{what}: {len(document)} bytes, more than {MAX_DOCUMENT_BYTES}")
    try:
        return json.loads(
            document.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    except WireError:
        raise
    except (ValueError, RecursionError) as exc:
        raise WireError(f"{what} is not JSON: {exc}") from exc


def digest_of(value: Any) -> str:
    """`sha256:` and the hex digest of the value's canonical bytes."""
    return "sha256:" + hashlib.sha256(encode(value)).hexdigest()


def _unique_keys(pairs: List[Tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise WireError(f"duplicate key {key!r}")
            seen.add(key)
    return found


def _no_constant(name: str) -> Any:
    raise WireError(f"{name} is not a number")
