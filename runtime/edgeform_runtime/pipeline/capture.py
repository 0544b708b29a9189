"""Where frames come from, as values: one dataclass and one reader per operator."""

from dataclasses import dataclass
from typing import Callable, Dict, Union

from edgeform_runtime.pipeline.bounds import among, at_least
from edgeform_wire.fields import Fields

AFTER = ("keep", "delete", "move")


@dataclass(frozen=True)
class ImageDirectory:
    path: str
    pattern: str
    interval_s: float
    after: str


@dataclass(frozen=True)
class HttpPush:
    max_bytes: int


Capture = Union[ImageDirectory, HttpPush]


def _image_directory(fields: Fields) -> ImageDirectory:
    return ImageDirectory(
        path=fields.text("path"),
        pattern=fields.text("pattern", "*.png"),
        interval_s=at_least(fields.number("interval_s", 1.0), 0.0, "capture.interval_s"),
        after=among(fields.text("after", "keep"), AFTER, "capture.after"),
    )


def _http_push(fields: Fields) -> HttpPush:
    return HttpPush(max_bytes=fields.integer("max_bytes", 1, 16 * 1024 * 1024))


OPERATORS: Dict[str, Callable[[Fields], Capture]] = {
    "image_directory": _image_directory,
    "http_push": _http_push,
}
