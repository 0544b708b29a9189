"""The renderer a verb talks through, chosen once and always closed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgeform.cli.workspace import now
from edgeform.report.choose import Form, Talk, choose, may_paint, open_talk


@contextmanager
def talk(output: str = "text") -> Iterator[Talk]:
    """Events to standard error, for people; with `-o jsonl` they are the result, on standard output."""
    asked = Form.JSONL if output == "jsonl" else None
    stream = sys.stdout if output == "jsonl" else sys.stderr
    form = choose(asked, os.environ, is_terminal=stream.isatty())
    found = open_talk(form, stream, now)
    try:
        yield found
    finally:
        found.close()


def paints() -> bool:
    """Whether results on standard output may be coloured."""
    return may_paint(os.environ, is_terminal=sys.stdout.isatty())
