"""Every state in which a power cut can leave a disk: recorded once, rebuilt as often as wanted.

A transaction runs on an ext4 file system whose block device is

    ext4 -> loop -> FUSE file -> qemu-storage-daemon (blklogwrites) -> disk image + log

so every write and every flush that the file system issues is in the log. Each state a cut can leave is
rebuilt from the log and mounted, whereby ext4 replays its journal as after a real cut:

    prefix   the first k entries: a disk that keeps the order
    subset   everything up to the last flush, and some of the writes after it: a disk that reorders
    torn     the first k entries, the last of them cut in the middle

What the transaction acknowledged is placed in the log too: what was said before the cut must hold after it.
Needs Linux, root, loop devices, FUSE, qemu-storage-daemon, e2fsprogs.
"""

import contextlib
import random
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeform.lab.execution import run, wait_until
from edgeform.lab.failure import CommandFailed

SECTOR_BYTES = 512
FLUSH, FUA, DISCARD = 1, 2, 4
ADDRESS_LIMIT_BYTES = 1 << 30

MERCIFUL = ("commit=1",)
MERCILESS = ("commit=1", "noauto_da_alloc")
"""Without ext4's habit of writing a file's data before a rename that replaces another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request of the file system to its disk."""

    sector: int
    sectors: int
    flags: int
    data: bytes

    @property
    def is_flush(self) -> bool:
        return bool(self.flags & FLUSH)

    @property
    def is_barrier(self) -> bool:
        """Whether everything before it, and it itself, is on the medium when it is answered."""
        return bool(self.flags & (FLUSH | FUA))

    def applied_to(self, changed: "Sectors", *, only_bytes: int | None = None) -> None:
        data = bytes(self.sectors * SECTOR_BYTES) if self.flags & DISCARD else self.data
        data = data[:only_bytes]
        for at in range(0, len(data), SECTOR_BYTES):
            changed[self.sector + at // SECTOR_BYTES] = data[at : at + SECTOR_BYTES]


Sectors = dict[int, bytes]
"""The sectors of a disk that differ from what it was before: states are many, and small this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A word that the transaction said when the log had `entries` entries."""

    entries: int
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A disk before a transaction, all that was written to it since, and what was said meanwhile."""

    size_bytes: int
    base: Sectors
    entries: tuple[Entry, ...]
    marks: tuple[Mark, ...]
    mount_options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One state that a power cut can leave.

    Attributes:
        entries: how much of the log had begun.
        said: the words acknowledged before the cut, in order.
    """

    kind: Literal["prefix", "subset", "torn"]
    entries: int
    said: tuple[str, ...]
    changed: Sectors


def parse_log(log: bytes) -> tuple[Entry, ...]:
    """The entries of a log in the format of the kernel's dm-log-writes, with 512-byte sectors."""
    entries = []
    at = SECTOR_BYTES
    while at + 32 <= len(log):
        sector, sectors, flags, _ = struct.unpack_from("<QQQQ", log, at)
        if not (sector or sectors or flags):
            break
        at += SECTOR_BYTES
        size = 0 if flags & DISCARD else sectors * SECTOR_BYTES
        if at + size > len(log):
            break
        entries.append(Entry(sector=sector, sectors=sectors, flags=flags, data=log[at : at + size]))
        at += size
    return tuple(entries)


def record(
    setup: Callable[[Path], None],
    transaction: Callable[[Path, Callable[[str], None]], None],
    *,
    mount_options: tuple[str, ...] = MERCIFUL,
    size_mb: int = 32,
) -> Recording:
    """Run a transaction on a recorded disk.

    Args:
        setup: fills the disk before the recording begins.
        transaction: is given the mounted disk, and `say`: each word it says counts as acknowledged
            to somebody far away from then on.

    What was never synced is flushed by ext4's own commit a second later, and is part of the log: those
    late states are the ones in which a forgotten fsync shows.
    """
    with tempfile.TemporaryDirectory(prefix="crashdisk-", dir=_fast_directory()) as scratch:
        work = Path(scratch)
        base, live, log, exported = (work / n for n in ("base", "live", "log", "exported"))
        seed, mounted = work / "seed", work / "mounted"
        seed.mkdir()
        mounted.mkdir()
        setup(seed)
        _make_file_system(base, seed, size_mb)
        shutil.copy(base, live)
        exported.touch()
        with log.open("wb") as handle:
            handle.truncate(ADDRESS_LIMIT_BYTES)
        marks: list[Mark] = []
        with _exported(live, log, exported), mounted_disk(exported, mounted, mount_options):
            transaction(
                mounted,
                lambda word: marks.append(Mark(entries=_entry_count(log), word=word)),
            )
            # ext4 commits by itself what nobody asked it to; the state after that is the last one.
            _wait_for_quiet(log)
            # Unmounting writes more: that is no part of any crash.
            entries = parse_log(_used(log))
        return Recording(
            size_bytes=size_mb << 20,
            base=used_sectors(base.read_bytes()),
            entries=entries,
            marks=tuple(marks),
            mount_options=mount_options,
        )


def crashes(
    recording: Recording, *, seed: int, subsets: int = 2, torn: bool = True
) -> Iterator[Crash]:
    """Every state that a cut during the recording can leave; the same ones for the same seed.

    Args:
        subsets: how many random selections of unflushed writes are tried before each flush.
        torn: whether each write of more than a page is also cut at a random sector.
    """
    chance = random.Random(seed)
    disk: Sectors = {}
    durable: Sectors = {}
    in_cache: list[Entry] = []

    def crash(kind: Literal["prefix", "subset", "torn"], entries: int, state: Sectors) -> Crash:
        said = tuple(mark.word for mark in recording.marks if mark.entries <= entries)
        return Crash(kind=kind, entries=entries, said=said, changed=dict(state))

    def reordered(entries: int) -> Iterator[Crash]:
        if len(in_cache) < 2:
            return
        for _ in range(subsets):
            state = dict(durable)
            for entry in in_cache:
                if chance.random() < 0.5:
                    entry.applied_to(state)
            yield crash("subset", entries, state)

    yield crash("prefix", 0, disk)
    for count, entry in enumerate(recording.entries, 1):
        if torn and len(entry.data) > 4096:
            state = dict(disk)
            border = chance.randrange(1, len(entry.data) // SECTOR_BYTES) * SECTOR_BYTES
            entry.applied_to(state, only_bytes=border)
            yield crash("torn", count - 1, state)
        if entry.is_flush:
            yield from reordered(count - 1)
        entry.applied_to(disk)
        in_cache.append(entry)
        if entry.is_barrier:
            durable = dict(disk)
            in_cache.clear()
        yield crash("prefix", count, disk)
    yield from reordered(len(recording.entries))


@contextlib.contextmanager
def after_power_cut(recording: Recording, crash: Crash) -> Iterator[Path]:
    """The disk as the next boot mounts it, journal replayed; writable, so recovery can run on it."""
    with tempfile.TemporaryDirectory(prefix="crashdisk-", dir=_fast_directory()) as scratch:
        image, mounted = Path(scratch) / "image", Path(scratch) / "mounted"
        write_image(image, recording.size_bytes, recording.base | crash.changed)
        mounted.mkdir()
        with mounted_disk(image, mounted, recording.mount_options):
            yield mounted


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A state in which the transaction's promise does not hold."""

    crash: Crash
    reason: str

    def __str__(self) -> str:
        place = f"{self.crash.kind} after {self.crash.entries} entries, said {self.crash.said}"
        return f"{place}: {self.reason}"


def violations(
    recording: Recording,
    check: Callable[[Path, tuple[str, ...]], str],
    *,
    seed: int,
    subsets: int = 2,
    torn: bool = True,
) -> tuple[Violation, ...]:
    """The states in which `check(mounted, said)` finds something wrong ("" means nothing)."""
    found = []
    for crash in crashes(recording, seed=seed, subsets=subsets, torn=torn):
        with after_power_cut(recording, crash) as mounted:
            if reason := check(mounted, crash.said):
                found.append(Violation(crash=crash, reason=reason))
    return tuple(found)


def used_sectors(image: bytes) -> Sectors:
    """The sectors of an image that are not empty."""
    empty = bytes(SECTOR_BYTES)
    pieces = (
        (at // SECTOR_BYTES, image[at : at + SECTOR_BYTES])
        for at in range(0, len(image), SECTOR_BYTES)
    )
    return {sector: data for sector, data in pieces if data != empty}


def write_image(image: Path, size_bytes: int, sectors: Sectors) -> None:
    """A sparse file that holds these sectors and is empty elsewhere."""
    with image.open("wb") as handle:
        handle.truncate(size_bytes)
        for sector, data in sorted(sectors.items()):
            handle.seek(sector * SECTOR_BYTES)
            handle.write(data)


@contextlib.contextmanager
def mounted_disk(image: Path, at: Path, options: tuple[str, ...]) -> Iterator[None]:
    """The ext4 file system of an image, mounted by a loop device that is gone afterwards."""
    loop = run(("losetup", "--find", "--show", str(image))).strip()
    try:
        run(("mount", "-t", "ext4", "-o", ",".join(options), loop, str(at)))
        try:
            yield
        finally:
            run(("umount", str(at)))
    finally:
        run(("losetup", "--detach", loop))


def _make_file_system(image: Path, content: Path, size_mb: int) -> None:
    run(("truncate", f"--size={size_mb}M", str(image)))
    # Everything initialised now: lazy initialisation would fill the log with writes of its own.
    extended = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    command = ("mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", extended, "-d", str(content))
    run((*command, str(image)))


@contextlib.contextmanager
def _exported(live: Path, log: Path, at: Path) -> Iterator[None]:
    """`at` is the image `live`, and all that happens to it is written to `log`."""
    command = (
        "qemu-storage-daemon",
        *("--blockdev", f"driver=file,node-name=image,filename={live}"),
        *("--blockdev", f"driver=file,node-name=log,filename={log}"),
        "--blockdev",
        "driver=blklogwrites,node-name=recorded,file=image,log=log,log-sector-size=512",
        "--export",
        f"type=fuse,id=export,node-name=recorded,writable=on,mountpoint={at}",
    )
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as daemon:
        try:
            wait_until(
                lambda: at.stat().st_size > 0 or daemon.poll() is not None,
                what="the recorded disk",
                timeout_s=20,
            )
            if daemon.poll() is not None:
                raise CommandFailed(command, daemon.returncode, "it ended at once")
            yield
        finally:
            daemon.terminate()
            daemon.wait(timeout=20)


def _wait_for_quiet(log: Path) -> None:
    """Return when the file system has committed all it holds back.

    ext4 commits its metadata every second here, and so leaves traces in the log. A `sync` would be
    quicker, and would hide what a forgotten fsync does: it writes the data that nobody asked for.
    """
    seen = -1
    still_since = time.monotonic()
    deadline = still_since + 30
    while time.monotonic() - still_since < 2.5 and time.monotonic() < deadline:
        now = _entry_count(log)
        if now != seen:
            seen, still_since = now, time.monotonic()
        time.sleep(0.1)


def _entry_count(log: Path) -> int:
    return len(parse_log(_used(log)))


def _used(log: Path) -> bytes:
    """The log without the hole behind its last entry."""
    with log.open("rb") as handle:
        return handle.read(log.stat().st_blocks * 512 + (1 << 20))


def _fast_directory() -> str | None:
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None
