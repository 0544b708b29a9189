"""The fleet that `serve` shows: looked at now and then, read again when anything here has changed."""

import os
from collections.abc import Hashable, Sequence
from pathlib import Path

from edgeform.cli.drift_looking import looked
from edgeform.cli.fleet_report import fleet_of
from edgeform.cli.opening import open_fleet
from edgeform.cli.planning import load_site
from edgeform.cli.workspace import Workspace, stamp
from edgeform.domain.observed import Observation
from edgeform.drift.compare import Compared
from edgeform.events import Event
from edgeform.lock.lockfile import read as read_lock
from edgeform.report.fleet import Fleet
from edgeform.spec.selector import select
from edgeform.transport.base import Transport


class LiveFleet:
    """A source of `serve.keeper`: one thread looks, another one reads."""

    def __init__(self, workspace: Workspace, selectors: Sequence[str]) -> None:
        self._workspace = workspace
        self._selectors = tuple(selectors)
        self._transport: Transport | None = None
        self._is_closed = False
        self._seen: tuple[dict[str, Observation], dict[str, Compared], str] = ({}, {}, "")

    def look(self) -> None:
        with open_fleet() as transport:
            self._transport = transport
            seen, compared = looked(self._workspace, transport, self._selectors, _silent)
            self._transport = None
        if not self._is_closed:
            self._seen = (seen, compared, stamp())

    def close(self) -> None:
        """Let go of a look that is under way: whoever waits for a device is told that it is gone."""
        self._is_closed = True
        if (transport := self._transport) is not None:
            transport.close()

    def read(self) -> Fleet:
        workspace = self._workspace
        site, _ = load_site(workspace, _silent)
        devices = select(site, self._selectors)
        lock = read_lock(workspace.lock_file).lock if workspace.lock_file.exists() else None
        seen, compared, looked_at = self._seen
        return fleet_of(
            workspace, site, devices, lock, seen=seen, compared=compared, looked_at=looked_at
        )

    def mark(self) -> Hashable:
        """What files look like from outside; only the journal and records change while nobody edits."""
        state, site = self._workspace.state_dir, self._workspace.site_dir
        files = [state / "journal.db", state / "journal.db-wal", self._workspace.records_dir]
        for folder, folders, names in os.walk(site):
            # The store has many files, and none of them is on the page.
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [Path(folder, name) for name in names if name.endswith(".yaml")]
        files += [self._workspace.lock_file, *sorted(self._workspace.records_dir.glob("*"))]
        found: list[tuple[str, int, int]] = []
        for file in files:
            try:
                status = file.stat()
            except OSError:
                continue
            found.append((str(file), status.st_mtime_ns, status.st_size))
        return tuple(sorted(found))


def _silent(_event: Event) -> None:
    """A look now and then is no news; what it found is on the page."""
