"""The crash disk itself: it catches a careless transaction and finds nothing in a careful one."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from support.crashdisk import (
    DISCARD,
    FLUSH,
    MERCIFUL,
    MERCILESS,
    SECTOR_BYTES,
    Crash,
    Entry,
    Mark,
    Recording,
    after_power_cut,
    crashes,
    parse_log,
    record,
    used_sectors,
    violations,
    write_image,
)

from edgeform.lab.doctor import NEEDED_FOR_CRASHDISK, doctor, missing
from edgeform.lab.leftovers import mount_points_below

FILES = tuple(f"file-{number}" for number in range(4))
SEED = 20251

needs_disk = [
    pytest.mark.crash,
    pytest.mark.skipif(
        bool(gaps := missing(doctor(os.environ), NEEDED_FOR_CRASHDISK)),
        reason="no recorded disk: " + "; ".join(f"{gap.name}: {gap.reason}" for gap in gaps),
    ),
]


def text_of(release: int, name: str) -> str:
    return f"release {release}, {name}\n" * 1200


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def write_release(root: Path, release: int, *, synced: bool) -> None:
    directory = root / f"release-{release}"
    directory.mkdir()
    for name in FILES:
        (directory / name).write_text(text_of(release, name))
        if synced:
            sync(directory / name)
    if synced:
        sync(directory)
        sync(root)


def setup(root: Path) -> None:
    write_release(root, 1, synced=False)
    (root / "current").symlink_to("release-1")


def flip(*, files: bool, parent: bool) -> Callable[[Path, Callable[[str], None]], None]:
    """A transaction that syncs its files or not, and the directory of its link or not."""

    def transaction(root: Path, say: Callable[[str], None]) -> None:
        write_release(root, 2, synced=files)
        (root / "current.tmp").symlink_to("release-2")
        (root / "current.tmp").rename(root / "current")
        if parent:
            sync(root)
        say("committed")
        if not files:
            # Somebody else's sync commits the names of files whose content is still in memory alone; whether
            # the file system does it by itself first depends on how fast the machine is.
            (root / "log").write_text("a line")
            sync(root / "log")

    return transaction


def check(root: Path, said: tuple[str, ...]) -> str:
    release = int((root / "current").readlink().name.split("-")[1])
    for name in FILES:
        got = (root / f"release-{release}" / name).read_text()
        if got != text_of(release, name):
            return f"release {release} is current, but {name} has {len(got)} characters"
    if "committed" in said and release != 2:
        return "commit was acknowledged, but the old release is back"
    return ""


@pytest.mark.parametrize("options", [MERCIFUL, MERCILESS], ids=["default", "noauto_da_alloc"])
class TestOnARecordedDisk:
    pytestmark = needs_disk

    def test_a_careful_transaction_has_no_bad_state(self, options):
        recording = record(setup, flip(files=True, parent=True), mount_options=options)
        assert [mark.word for mark in recording.marks] == ["committed"]
        assert sum(entry.is_flush for entry in recording.entries) >= 5
        states = list(crashes(recording, seed=SEED))
        assert {crash.kind for crash in states} == {"prefix", "subset", "torn"}
        assert violations(recording, check, seed=SEED) == ()

    def test_a_careless_transaction_is_caught_twice(self, options):
        recording = record(setup, flip(files=False, parent=False), mount_options=options)
        reasons = {found.reason for found in violations(recording, check, seed=SEED)}
        assert any("has 0 characters" in reason for reason in reasons)
        assert any("old release is back" in reason for reason in reasons)

    def test_a_forgotten_sync_of_the_links_directory_is_caught(self, options):
        recording = record(setup, flip(files=True, parent=False), mount_options=options)
        reasons = {found.reason for found in violations(recording, check, seed=SEED)}
        assert reasons == {"commit was acknowledged, but the old release is back"}


class TestLeavesNothing:
    pytestmark = needs_disk

    def test_also_when_the_transaction_fails(self):
        seen: list[Path] = []

        def broken(root: Path, _say: object) -> None:
            seen.append(root)
            raise RuntimeError("as planned")

        with pytest.raises(RuntimeError, match="as planned"):
            record(setup, broken)
        text = Path("/proc/self/mountinfo").read_text()
        assert mount_points_below(text, seen[0].parent) == ()
        assert not seen[0].parent.exists()
        backing = Path("/sys/block").glob("loop*/loop/backing_file")
        assert not [path for path in backing if str(seen[0].parent) in path.read_text()]

    def test_a_mounted_crash_can_be_written_to_by_recovery(self):
        recording = record(setup, flip(files=True, parent=True))
        last = list(crashes(recording, seed=1, subsets=0, torn=False))[-1]
        with after_power_cut(recording, last) as mounted:
            (mounted / "recovered").write_text("yes")
        with after_power_cut(recording, last) as mounted:
            assert not (mounted / "recovered").exists()


# Without a disk: the states themselves.


def entry(sector: int, letter: str, flags: int = 0, sectors: int = 1) -> Entry:
    data = letter.encode() * (sectors * SECTOR_BYTES)
    return Entry(sector=sector, sectors=sectors, flags=flags, data=data)


FLUSHED = Entry(sector=0, sectors=0, flags=FLUSH, data=b"")


def recording_of(*entries: Entry, marks: tuple[Mark, ...] = ()) -> Recording:
    base = dict.fromkeys(range(16), b"." * SECTOR_BYTES)
    size = 16 * SECTOR_BYTES
    return Recording(size_bytes=size, base=base, entries=entries, marks=marks, mount_options=())


def letters(crash: Crash) -> str:
    return "".join(chr(crash.changed.get(sector, b".")[0]) for sector in range(3))


def test_every_prefix_is_a_state():
    recording = recording_of(entry(0, "a"), entry(1, "b"), FLUSHED, entry(2, "c"))
    states = list(crashes(recording, seed=1, subsets=0))
    assert [letters(state) for state in states] == ["...", "a..", "ab.", "ab.", "abc"]


def test_a_reordering_disk_loses_any_unflushed_write_and_no_flushed_one():
    recording = recording_of(
        entry(0, "a"), FLUSHED, entry(1, "b"), entry(2, "c"), FLUSHED, entry(0, "z")
    )
    states = {letters(c) for c in crashes(recording, seed=1, subsets=50) if c.kind == "subset"}
    assert states == {"a..", "ab.", "a.c", "abc"}


def test_a_torn_write_stops_at_a_sector_border():
    recording = recording_of(entry(0, "a", sectors=16))
    (torn,) = [c for c in crashes(recording, seed=1) if c.kind == "torn"]
    count = len(torn.changed)
    assert 0 < count < 16
    assert torn.changed == dict.fromkeys(range(count), b"a" * SECTOR_BYTES)


def test_a_word_counts_from_the_entry_at_which_it_was_said():
    marks = (Mark(entries=1, word="half"), Mark(entries=2, word="whole"))
    recording = recording_of(entry(0, "a"), entry(1, "b"), marks=marks)
    said = [c.said for c in crashes(recording, seed=1, subsets=0)]
    assert said == [(), ("half",), ("half", "whole")]


def test_the_same_seed_gives_the_same_states():
    recording = recording_of(*(entry(n % 3, chr(97 + n)) for n in range(9)), FLUSHED)
    assert list(crashes(recording, seed=5)) == list(crashes(recording, seed=5))
    assert list(crashes(recording, seed=5)) != list(crashes(recording, seed=6))


def test_a_log_is_read_up_to_its_end():
    def header(sector: int, sectors: int, flags: int) -> bytes:
        return struct.pack("<QQQQ", sector, sectors, flags, 0).ljust(SECTOR_BYTES, b"\0")

    log = b"superblock".ljust(SECTOR_BYTES, b"\0")
    log += header(7, 1, 0) + b"x" * SECTOR_BYTES + header(0, 0, FLUSH) + header(3, 9, DISCARD)
    entries = parse_log(log + bytes(4096))
    assert [(e.sector, e.sectors, e.flags, len(e.data)) for e in entries] == [
        (7, 1, 0, 512),
        (0, 0, FLUSH, 0),
        (3, 9, DISCARD, 0),
    ]
    assert parse_log(log[: SECTOR_BYTES * 2 + 100]) == ()


def test_a_discard_empties_what_it_covers():
    disk = {0: b"x" * SECTOR_BYTES, 1: b"y" * SECTOR_BYTES}
    Entry(sector=1, sectors=2, flags=DISCARD, data=b"").applied_to(disk)
    assert disk == {0: b"x" * SECTOR_BYTES, 1: bytes(SECTOR_BYTES), 2: bytes(SECTOR_BYTES)}


def test_an_image_is_written_as_it_was_read(tmp_path):
    image = (
        b"a" * SECTOR_BYTES + bytes(5 * SECTOR_BYTES) + b"b" * SECTOR_BYTES + bytes(SECTOR_BYTES)
    )
    sectors = used_sectors(image)
    assert sorted(sectors) == [0, 6]
    write_image(tmp_path / "image", len(image), sectors)
    assert (tmp_path / "image").read_bytes() == image
