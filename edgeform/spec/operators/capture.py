"""Capture operators out of proven values."""

from collections.abc import Callable

from edgeform.domain.stages.capture import Capture, HttpPush, ImageDirectory
from edgeform.spec.fields import Mapping, number_or, size_or, text_or


def _image_directory(spec: Mapping) -> ImageDirectory:
    return ImageDirectory(
        path=text_or(spec, "path", ""),
        pattern=text_or(spec, "pattern", "*.png"),
        interval_s=number_or(spec, "interval_s", 1.0),
        after=text_or(spec, "after", "keep"),
    )


def _http_push(spec: Mapping) -> HttpPush:
    return HttpPush(max_bytes=size_or(spec, "max_bytes", 16 * 1024 * 1024))


OPERATORS: dict[str, Callable[[Mapping], Capture]] = {
    "image_directory": _image_directory,
    "http_push": _http_push,
}
