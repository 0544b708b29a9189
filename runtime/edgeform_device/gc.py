"""Making room: what no kept generation uses is removed, in an order that a cut cannot hurt.

Kept are the current and the committed generation, those committed before it (as many as the manifest
says, at least one), the newest that failed here as evidence, and everything that came in within the last
hour. Generations go before trees and trees before blobs, so what is left is always whole. Files that are
not edgeform's are reported and left.
"""

import os
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Set, Tuple

from edgeform_device import generations, manifests, trees
from edgeform_device.durable import TMP, Disk
from edgeform_device.errors import DeviceError
from edgeform_device.layout import Layout
from edgeform_device.locks import no_transaction
from edgeform_device.records import Committed, Quarantined, State
from edgeform_device.store import Store
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact

GRACE_S = 3600.0
"""An upload that is not activated yet is used by no generation; it must not be collected meanwhile."""
PART_GRACE_S = 7 * 86400.0
KEPT_EVIDENCE = 1
KEPT_JOURNALS = 20
DEFAULT_KEPT = 3


@dataclass(frozen=True)
class Collected:
    """What was removed (paths below the prefix), what that freed, and what is not ours."""

    removed: Tuple[str, ...]
    freed_bytes: int
    foreign: Tuple[str, ...]


def collect_locked(disk: Disk, layout: Layout, *, is_dry_run: bool) -> Collected:
    """`collect` while no transaction works.

    Raises:
        Locked: one does.
    """
    disk.mkdir(layout.state_dir)
    hint = "Collect when it has ended; it does so itself after a commit."
    with no_transaction(layout, hint):
        return collect(disk, layout, is_dry_run=is_dry_run)


def collect(
    disk: Disk, layout: Layout, *, is_dry_run: bool, now_s: Optional[float] = None
) -> Collected:
    """Remove what is not needed any more; the caller holds the transaction lock."""
    state = State(disk, layout)
    committed = state.committed()
    kept = kept_generations(
        generations.numbers(disk, layout),
        _current(disk, layout),
        committed,
        state.quarantine(),
        _wanted_count(disk, layout, committed),
        {t.to_generation for t in (state.txn(), state.committing(), state.reverting()) if t},
    )
    work = _Collection(disk, layout, time.time() if now_s is None else now_s, is_dry_run)
    work.generations(kept)
    work.trees_and_blobs(kept)
    work.parts()
    work.journals(state)
    return work.done()


def kept_generations(
    there: Tuple[int, ...],
    current: Optional[int],
    committed: Optional[Committed],
    quarantine: Dict[str, Quarantined],
    count: int,
    pending: Set[int],
) -> Set[int]:
    """The generations to keep, of those that are there.

    Args:
        count: how many committed ones, the present one included; at least two are kept.
        pending: those of an unfinished transaction.
    """
    kept = {n for n in (current,) if n is not None} | pending
    if committed is not None:
        history = tuple(n for n in committed.history if n in there)
        kept |= {committed.generation, *history[: max(1, count - 1)]}
        if not history:
            # Committed records of an older tool have no history; the newest below is what it returns to.
            kept |= set(sorted(n for n in there if n < committed.generation)[-1:])
    failed = sorted(q.generation for q in quarantine.values() if q.generation in there)
    kept |= set(failed[-KEPT_EVIDENCE:])
    if committed is None:
        kept |= set(there[-1:])
    return kept & set(there)


def _wanted_count(disk: Disk, layout: Layout, committed: Optional[Committed]) -> int:
    if committed is None:
        return DEFAULT_KEPT
    try:
        return generations.read(disk, layout, committed.generation).keep_generations
    except DeviceError:
        return DEFAULT_KEPT


def _current(disk: Disk, layout: Layout) -> Optional[int]:
    try:
        return generations.current(disk, layout)
    except DeviceError:
        return None


class _Collection:
    def __init__(self, disk: Disk, layout: Layout, now_s: float, is_dry_run: bool) -> None:  # noqa: FBT001 - private, and named at its one call
        self._disk = disk
        self._layout = layout
        self._store = Store(layout, disk)
        self._now_s = now_s
        self._is_dry_run = is_dry_run
        self._removed: List[str] = []
        self._freed_bytes = 0

    def done(self) -> Collected:
        prefix = self._layout.prefix + os.sep
        foreign = tuple(path[len(prefix) :] for path in self._store.foreign())
        return Collected(tuple(self._removed), self._freed_bytes, foreign)

    def generations(self, kept: Set[int]) -> None:
        for number in generations.numbers(self._disk, self._layout):
            if number not in kept:
                self._remove(self._layout.generation(number))

    def trees_and_blobs(self, kept: Set[int]) -> None:
        used, found, is_whole = self._used(kept)
        if not is_whole:
            # A kept manifest cannot be read: what it uses is unknown, so nothing is thrown away.
            return
        names = {digests.hex_of(digest) for digest in used}
        for name in self._disk.names(self._layout.trees_dir):
            path = os.path.join(self._layout.trees_dir, name)
            if name not in names and self._is_old(path, GRACE_S):
                self._remove(path)
        if not self._is_dry_run:
            for artifact in found:
                trees.rescue(self._store, artifact)
        needed = used | {f.digest for artifact in found for f in artifact.files}
        for path, digest in self._store.entries():
            is_dangling = os.path.islink(path) and not os.path.exists(path)
            if digest is None:
                if path.endswith(TMP) and self._is_old(path, GRACE_S):
                    self._remove(path)
            elif is_dangling or (digest not in needed and self._is_old(path, GRACE_S)):
                self._remove(path)

    def _used(self, kept: Set[int]) -> Tuple[Set[str], List[Artifact], bool]:
        """Digests of the artifacts that kept generations use, their manifests, whether all could be read."""
        used: Set[str] = set()
        found: List[Artifact] = []
        is_whole = True
        for number in kept:
            try:
                content = generations.read(self._disk, self._layout, number)
                for ref in content.artifacts:
                    if ref.digest not in used:
                        used.add(ref.digest)
                        found.append(manifests.read_artifact(self._store, ref.digest))
            except DeviceError:
                is_whole = False
        return used, found, is_whole

    def parts(self) -> None:
        for folder in (self._layout.part_dir, self._layout.metadata_dir):
            for name in self._disk.names(folder):
                path = os.path.join(folder, name)
                if self._is_old(path, PART_GRACE_S):
                    self._remove(path)

    def journals(self, state: State) -> None:
        lease = state.lease()
        busy = {lease.transaction + ".jsonl"} if lease is not None else set()
        names = [n for n in self._disk.names(self._layout.journal_dir) if n not in busy]
        paths = [os.path.join(self._layout.journal_dir, n) for n in names]
        paths.sort(key=lambda path: os.lstat(path).st_mtime)
        for path in paths[:-KEPT_JOURNALS]:
            self._remove(path)

    def _is_old(self, path: str, grace_s: float) -> bool:
        """Whether a thing came long ago. One from the future came under a wrong clock: it is young."""
        try:
            changed_s = os.lstat(path).st_ctime
        except FileNotFoundError:
            return False
        return self._now_s - changed_s > grace_s

    def _remove(self, path: str) -> None:
        self._freed_bytes += _bytes_of(path)
        self._removed.append(os.path.relpath(path, self._layout.prefix))
        if not self._is_dry_run:
            self._disk.remove_tree(path)


def _bytes_of(path: str) -> int:
    """What the disk gets back: blocks of the files whose last name is here."""
    if not os.path.isdir(path) or os.path.islink(path):
        status = os.lstat(path)
        return status.st_blocks * 512 if status.st_nlink == 1 else 0
    total = 0
    for where, _, files in os.walk(path):
        for name in files:
            status = os.lstat(os.path.join(where, name))
            total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total
