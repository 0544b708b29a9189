"""What keeps objects alive: named lists of artifact digests, one small file each.

`lock` holds what edgeform.lock names, `site-<site>` what is deployed, others what people pin.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from edgeform.errors import Corrupt, UsageError
from edgeform.store.objects import sync_directory
from edgeform_wire import digest as digests
from edgeform_wire.artifact import check_segment
from edgeform_wire.errors import WireError


class Roots:
    """The roots of a store, kept in `roots/` of its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "roots"

    def set(self, name: str, artifacts: Iterable[str]) -> None:
        """From now on the root `name` keeps exactly these artifacts.

        Raises:
            UsageError: the name cannot be a file's.
        """
        file = self._file(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{name}.{os.getpid()}"
        lines = sorted({digests.parse(digest) for digest in artifacts})
        with temporary.open("w", encoding="ascii") as stream:
            stream.writelines(f"{line}\n" for line in lines)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        sync_directory(self._folder)

    def drop(self, name: str) -> None:
        self._file(name).unlink(missing_ok=True)

    def all(self) -> dict[str, frozenset[str]]:
        """Every root with its artifacts.

        Raises:
            Corrupt: a root file holds anything but digests; nothing may be collected then.
        """
        if not self._folder.is_dir():
            return {}
        return {
            file.name: _read(file)
            for file in sorted(self._folder.iterdir())
            if not file.name.startswith(".")
        }

    def _file(self, name: str) -> Path:
        try:
            return self._folder / check_segment(name, "root")
        except WireError as exc:
            raise UsageError(f"{name!r} cannot name a root of the store.") from exc


def _read(file: Path) -> frozenset[str]:
    try:
        return frozenset(
            digests.parse(line) for line in file.read_text(encoding="ascii").splitlines()
        )
    except (WireError, UnicodeDecodeError) as exc:
        raise Corrupt(
            f"A root of the store is damaged, so nothing can be collected: {exc}",
            address=str(file),
            hint="Write it again:\n    edgeform lock",
        ) from exc
