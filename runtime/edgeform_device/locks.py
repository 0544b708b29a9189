"""Locks on files: they end with the process that holds them, however it ends."""

import contextlib
import fcntl
import os
import time
from typing import Iterator, Optional

from edgeform_device.errors import Locked
from edgeform_device.layout import Layout
from edgeform_device.ports import TRANSACTION_LOCK

POLL_S = 0.05


class FileLock:
    """One held lock. The descriptor is not inherited, so a child never holds it by accident."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class FileLocks:
    """flock(2) on files of the state directory.

    Nothing is written into them: they may be missing, and an empty file after a cut is as good.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def take(self, name: str, wait_s: float, *, is_shared: bool = False) -> Optional[FileLock]:
        """The lock, or None when others held it for the whole time."""
        path = self._layout.state(name)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        wanted = (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, wanted)
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(descriptor)
                    return None
                time.sleep(POLL_S)
            else:
                return FileLock(descriptor)


@contextlib.contextmanager
def no_transaction(layout: Layout, hint: str) -> Iterator[None]:
    """While this holds, no transaction works.

    Raises:
        Locked: one does.
    """
    held = FileLocks(layout).take(TRANSACTION_LOCK, 0.0)
    if held is None:
        raise Locked("A transaction is at work on this device.", hint=hint)
    try:
        yield
    finally:
        held.release()
