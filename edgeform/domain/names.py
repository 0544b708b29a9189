"""Names, parsed once and then trusted.

Every name follows one grammar, so that it can stand in a path, a unit name, a topic and a URL.
"""

import re
from typing import NewType

SiteName = NewType("SiteName", str)
DeviceName = NewType("DeviceName", str)
ClassName = NewType("ClassName", str)
ModelName = NewType("ModelName", str)
PipelineName = NewType("PipelineName", str)
Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hex digits."""

NAME_PATTERN = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_NAME = re.compile(NAME_PATTERN + r"\Z")


def is_name(text: str) -> bool:
    """Whether the text may name a site, device, class, model or pipeline."""
    return _NAME.match(text) is not None and ".." not in text


def short(digest: str) -> str:
    """Twelve hex digits of a digest, for people; `-` for none."""
    return digest.removeprefix("sha256:")[:12] if digest else "-"
