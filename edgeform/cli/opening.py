"""The transport of a verb: opened first, because its worker takes longest to be ready."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeform.transport.base import Transport


@contextmanager
def open_fleet() -> "Iterator[Transport]":
    """The transport for real devices, closed at the end whatever happens."""
    from edgeform.transport.bymode import open_transport  # noqa: PLC0415  # only verbs that connect pay for it

    transport = open_transport()
    try:
        yield transport
    finally:
        transport.close()
