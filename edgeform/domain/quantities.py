"""Bytes and seconds: reading what people write, printing what people read."""

import re

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?\Z")
_BYTE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)\Z")
_SECOND_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(text: str) -> int:
    """Bytes of `512`, `1.5GiB`, `20 MB`.

    Raises:
        ValueError: no number, or a unit that is not one of ours.
    """
    found = _BYTES.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size; write for example 512MiB")
    return round(float(found[1]) * _BYTE_UNITS[found[2] or "B"])


def parse_seconds(text: str) -> float:
    """Seconds of `250ms`, `90s`, `30min`.

    Raises:
        ValueError: no number, or no unit of time behind it.
    """
    found = _SECONDS.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a duration; write for example 90s or 250ms")
    return float(found[1]) * _SECOND_UNITS[found[2]]


def show_bytes(count: int) -> str:
    """`0 B`, `4.0 kB`, `12.4 MB`: decimal units, as networks and disks are sold."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def show_seconds(seconds: float) -> str:
    """`0.4 s`, `12 s`, `8 min 51 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def show_count(count: int, noun: str) -> str:
    """`1 device`, `3 devices`, `0 classes`: people read tables at night, spare them the `(s)`."""
    many = noun + ("es" if noun.endswith(("s", "ch", "x")) else "s")
    return f"{count} {noun if count == 1 else many}"
