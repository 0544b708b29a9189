"""The log: JSON Lines on standard error; reports (results) go to standard output.

No exception's trace and no secret's value ever enters a record; fields are cut at a sane length.
"""

import datetime as dt
import json
import sys
import threading
from typing import Dict, TextIO, Union

MAX_TEXT = 2000
Field = Union[str, int, float, bool, None, Dict[str, object]]
_lock = threading.Lock()


def log(level: str, event: str, **fields: Field) -> None:
    """Write one record; `level` is debug, info, warning or error."""
    _write(sys.stderr, {"level": level, "event": event}, fields)


def report(kind: str, **fields: Field) -> None:
    """Write one report line to standard output."""
    _write(sys.stdout, {"event": kind}, fields)


def _write(stream: TextIO, head: Dict[str, str], fields: Dict[str, Field]) -> None:
    now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
    record: Dict[str, object] = {"time": now}
    record.update(head)
    for name, value in fields.items():
        record[name] = value[:MAX_TEXT] if isinstance(value, str) else value
    line = json.dumps(record, ensure_ascii=False, default=str) + "\n"
    with _lock:
        try:
            stream.write(line)
            stream.flush()
        except (OSError, ValueError):
            # The reader of the log is gone; inference goes on without it.
            return
