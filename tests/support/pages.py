"""The `sh` blocks of a page, so that a test can do step by step what stands there."""

import re
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[list[str]]:
    """The lines of each block; one that goes on with a backslash is one line, and comments are left out."""
    return [_lines(block) for block in BLOCK.findall((HOW_TO / page).read_text())]


def lines_of(page: str) -> list[str]:
    """The lines of all blocks."""
    return [line for block in blocks_of(page) for line in block]


def exchanged(line: str, table: dict[str, str]) -> str:
    """The line with a page's examples exchanged for what there is here, the longest first, each place once."""
    longest_first = sorted(table, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return pattern.sub(lambda found: table[found.group()], line)


def _lines(block: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", block)
    return [line.split("  #")[0].strip() for line in joined.splitlines() if line.strip()]
