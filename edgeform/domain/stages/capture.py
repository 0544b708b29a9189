"""Where frames come from: a closed set of operators."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDirectory:
    """Take the files of a directory, oldest name first; finished ones may be moved or deleted."""

    kind: ClassVar[str] = "image_directory"
    path: str
    pattern: str = "*.png"
    interval_s: float = 1.0
    after: str = "keep"
    """keep (play them again), delete, or move (into `done/` beside them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPush:
    """Take frames that are posted to `/v1/frames` of the runtime's own server."""

    kind: ClassVar[str] = "http_push"
    max_bytes: int = 16 * 1024 * 1024


Capture = ImageDirectory | HttpPush
