"""Small reads below a root, which is `/` or a tree that stands for another machine."""

import os
from typing import Optional, Tuple

MAX_BYTES = 65536


class Tree:
    """Where /proc and /sys are. What is absent or unreadable reads as empty."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")

    def text(self, path: str) -> str:
        try:
            with open(self._root + path, "rb") as stream:
                return stream.read(MAX_BYTES).decode("utf-8", "replace").strip("\0\n\t ")
        except (OSError, ValueError):
            return ""

    def number(self, path: str) -> Optional[int]:
        """A file that holds one integer, decimal or with 0x; None for anything else."""
        text = self.text(path)
        try:
            return int(text, 0)
        except ValueError:
            return None

    def names(self, path: str) -> Tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(self._root + path)))
        except (OSError, ValueError):
            return ()

    def exists(self, path: str) -> bool:
        return os.path.lexists(self._root + path)
