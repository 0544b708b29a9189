"""The last lines that a pipeline's service wrote, made safe to show on a terminal."""

import os
import shutil
import subprocess
import unicodedata
from typing import List

from edgeform_device.errors import Refused
from edgeform_device.identity import Identity
from edgeform_device.layout import Layout, check_name

MAX_LINES = 5000
MAX_CHARACTERS = 2000
TAIL_BYTES = 2 * 1024 * 1024
TIMEOUT_S = 20.0


def lines(who: Identity, layout: Layout, pipeline: str, count: int) -> List[str]:
    """At most `count` lines, the newest last.

    Raises:
        WireError: the pipeline's name is outside the grammar.
        Refused: the journal cannot be read.
    """
    name = check_name(pipeline)
    wanted = min(max(count, 1), MAX_LINES)
    found = (
        _from_journal(name, wanted)
        if who.services == "systemd"
        else _from_file(log_file(layout, name), wanted)
    )
    return [shown(line) for line in found[-wanted:]]


def log_file(layout: Layout, name: str) -> str:
    """Where the supervisor keeps what a pipeline writes."""
    return os.path.join(layout.supervisor_dir, check_name(name) + ".log")


def shown(line: str) -> str:
    """The line without control characters, and not endless: their code points stand instead."""
    head = "".join(
        c if c == "\t" or unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode()
        for c in line[:MAX_CHARACTERS]
    )
    return head if len(line) <= MAX_CHARACTERS else head + "..."


def _from_journal(name: str, count: int) -> List[str]:
    if shutil.which("journalctl") is None:
        raise Refused("journalctl is not on this device, so its services' logs cannot be read.")
    unit = f"edgeform-pipeline@{name}.service"
    try:
        done = subprocess.run(
            ("journalctl", "-u", unit, "-n", str(count), "-o", "short-iso", "--no-pager", "-q"),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise Refused("The journal could not be read.", detail=str(exc)[:200]) from exc
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise Refused("The journal could not be read.", detail=shown(said)[:300])
    return done.stdout.decode("utf-8", "replace").splitlines()


def _from_file(path: str, count: int) -> List[str]:
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            content = stream.read()
    except FileNotFoundError:
        return []
    found = content.decode("utf-8", "replace").splitlines()
    return found[1:][-count:] if size > TAIL_BYTES else found[-count:]
