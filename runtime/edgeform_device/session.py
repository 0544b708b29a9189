"""One call of the tool: where its prefix is, what it may touch, and what it was asked on standard input."""

import json
import os
import select
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, List

from edgeform_device.durable import Disk
from edgeform_device.errors import Usage
from edgeform_device.identity import Identity, load
from edgeform_device.layout import Layout, layout_for

MAX_REQUEST_BYTES = 4 * 1024 * 1024
REQUEST_S = 20.0


@dataclass(frozen=True)
class Session:
    """What a verb works with.

    Args:
        root: where /proc, /sys, /etc and /run are; `/` but in tests.
        stdin: the request, or the frames of `ingest`.
        say: talk for people, on standard error.
    """

    layout: Layout
    disk: Disk
    root: str
    stdin: BinaryIO
    say: Callable[[str], None]

    def identity(self) -> Identity:
        """Who this device is.

        Raises:
            Refused: it is not enrolled.
        """
        return load(self.disk, self.layout)

    def request(self) -> Dict[str, Any]:
        """The JSON object on standard input; empty where there is no input.

        Raises:
            Usage: not a JSON object, or too long, or it does not end.
        """
        content = self.read_stdin(MAX_REQUEST_BYTES)
        if not content.strip():
            return {}
        try:
            value = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise Usage(
                "The request on standard input is not JSON.", detail=str(exc)[:200]
            ) from exc
        if not isinstance(value, dict):
            raise Usage("The request on standard input is not a JSON object.")
        return value

    def read_stdin(self, limit_bytes: int) -> bytes:
        """Everything on standard input; nothing from a terminal.

        Raises:
            Usage: more than the limit, or the other side neither writes nor closes.
        """
        parts: List[bytes] = []
        left = limit_bytes + 1
        while left > 0:
            part = self._read_some(left)
            if not part:
                return b"".join(parts)
            parts.append(part)
            left -= len(part)
        raise Usage(f"More than {limit_bytes} bytes on standard input.")

    def _read_some(self, most: int) -> bytes:
        try:
            descriptor = self.stdin.fileno()
        except (OSError, ValueError):
            return self.stdin.read(most)
        if os.isatty(descriptor):
            return b""
        ready, _, _ = select.select((descriptor,), (), (), REQUEST_S)
        if not ready:
            raise Usage(f"Nothing came on standard input for {REQUEST_S:.0f} s.")
        return os.read(descriptor, most)


def open_session(prefix: str, root: str, stdin: BinaryIO) -> Session:
    """The session of a prefix; sockets are where its enrolment says."""
    layout = layout_for(prefix)
    disk = Disk(reserve=layout.reserve, say=say)
    if disk.exists(layout.device):
        who = load(disk, layout)
        layout = layout_for(prefix, who.run_dir)
        root = root if root != "/" else who.root
    return Session(layout=layout, disk=disk, root=root, stdin=stdin, say=say)


def say(text: str) -> None:
    """One line for people; what is not printable in it is shown as `?`."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    print("edgeform-device: " + shown, file=sys.stderr, flush=True)
