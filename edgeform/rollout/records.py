"""What devices reported, as Git keeps it: `records/DEVICE.jsonl`, receipts line by line. Pure.

The journal of a machine and the file in Git may each know more than the other: two controllers look after
one site. Both are beginnings of one chain, so the longer one is right; where they part, neither is touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_MARKERS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """The two tell another story from this line on; `detail` says which line and why."""

    line: int
    detail: str


def lines_of_file(content: bytes) -> tuple[bytes, ...]:
    """The lines of a records file; a line that was torn off at the end counts as one."""
    return tuple(line for line in content.split(b"\n") if line)


def joined(recorded: Sequence[bytes], archived: Sequence[bytes]) -> tuple[bytes, ...] | Parted:
    """The longer of two beginnings of one chain.

    Args:
        recorded: the lines in Git. archived: those of this machine's journal.
    """
    for number, entry in enumerate(recorded, 1):
        if entry.startswith(_MARKERS):
            return Parted(line=number, detail="a merge conflict of Git stands in it")
    ours = tuple(entry.rstrip(b"\n") for entry in archived)
    theirs = tuple(recorded)
    for number, (one, other) in enumerate(zip(theirs, ours, strict=False), 1):
        if one != other:
            detail = "the file in Git and this machine's journal hold another receipt there"
            return Parted(line=number, detail=detail)
    return max(theirs, ours, key=len)
