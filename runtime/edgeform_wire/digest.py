"""Digests: `sha256:` followed by 64 lower-case hex digits, everywhere in edgeform."""

import hashlib
import re
from typing import BinaryIO

from edgeform_wire.errors import WireError

PREFIX = "sha256:"
CHUNK_BYTES = 1024 * 1024
_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")


def parse(text: object, what: str = "digest") -> str:
    """The digest itself, once its form is proven.

    Raises:
        WireError: anything but `sha256:` and 64 lower-case hex digits.
    """
    if not isinstance(text, str) or not _FORM.match(text):
        raise WireError(f"{what}: {text!r} is not sha256:<64 hex digits>")
    return text


def hex_of(digest: str) -> str:
    """The 64 hex digits, as they are used in file names."""
    return parse(digest)[len(PREFIX) :]


def short(digest: str) -> str:
    """Twelve hex digits, for people."""
    return hex_of(digest)[:12]


def of_bytes(content: bytes) -> str:
    return PREFIX + hashlib.sha256(content).hexdigest()


def of_stream(stream: BinaryIO) -> str:
    """The digest of everything that is left in the stream."""
    hasher = hashlib.sha256()
    for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
        hasher.update(chunk)
    return PREFIX + hasher.hexdigest()


def of_file(path: str) -> str:
    with open(path, "rb") as stream:
        return of_stream(stream)
