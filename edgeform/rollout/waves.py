"""Splitting a fleet into waves: pure. This version has one wave; more is refused by the spec."""

from collections.abc import Sequence


def one_wave(devices: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Every device once, in one wave; no wave for no devices."""
    return (tuple(dict.fromkeys(devices)),) if devices else ()
