"""A bundle as the controller writes, proves and takes back: whole or not finished, and every lie named."""

import hashlib
import os
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from support.stick import files_of

from edgeform.bundle import create, image
from edgeform.bundle.verify import verify
from edgeform.errors import Corrupt, EdgeformError, NotTrusted, OutsideFailed, Stale
from edgeform_wire import bundle
from edgeform_wire.errors import WireError


def now():
    return datetime.now(UTC)


@pytest.fixture
def made(press):
    return press.a_small_one()


@pytest.fixture
def stick(press, made):
    return press.stick("stick", made)


def proven(press, stick, at=None):
    return verify(stick, now=at or now(), trusted_root=press.publisher.root)


def test_what_was_written_is_proven_with_evidence(press, stick):
    found = proven(press, stick)
    assert [d.device for d, _ in found.deployments] == ["cam-1"]
    text = "\n".join(f"{e.subject}: {e.text}" for e in found.evidence)
    assert "sites/lab/cam-1.json: deployment 1" in text
    assert "blobs proven" in text
    assert found.foreign == ()


def test_names_suit_fat(stick):
    names = [p.relative_to(stick).as_posix() for p in stick.rglob("*")]
    assert len({n.casefold() for n in names}) == len(names)
    for name in names:
        bundle.check_file_name(name)
    assert not any(p.is_symlink() for p in stick.rglob("*"))
    assert max(p.stat().st_size for p in stick.rglob("*")) < 4 * 1024**3


@pytest.mark.parametrize(
    "name",
    ["con", "a/Aux.json", "nul.txt", "x ", "x.", "a:b", 'q"', "a//b", "ü", "com1.bin", "", "a\\b"],
)
def test_names_that_fat_changes_are_refused(name):
    with pytest.raises(WireError):
        bundle.check_file_name(name)


def test_writing_again_copies_nothing_and_an_unfinished_one_is_said_to_be_unfinished(press, made):
    place = press.folder / "again"
    load = press.load(made)
    first = create.write(load, place, part_bytes=10_000)
    again = create.write(load, place, part_bytes=10_000)
    assert again.contents == first.contents
    assert again.written_bytes == 0
    assert again.kept_bytes == first.written_bytes
    (place / "edgeform/bundle.json").unlink()
    with pytest.raises(Corrupt, match="was not finished"):
        proven(press, place)


def test_a_damaged_file_is_written_again_and_old_ones_go_and_reports_stay(press, made):
    place = press.stick("again", made)
    weights = max((place / "edgeform/sha256").rglob("*.000"), key=lambda p: p.stat().st_size)
    before = weights.read_bytes()
    weights.write_bytes(before[:100] + b"!" + before[101:])
    (place / "edgeform/return").mkdir()
    (place / "edgeform/return/device-cam-1.jsonl").write_bytes(b"")
    (place / "edgeform/sha256/zz").mkdir()
    (place / "edgeform/sha256/zz/old").write_bytes(b"old")
    press.stick("again", made)
    assert weights.read_bytes() == before
    assert not (place / "edgeform/sha256/zz").exists()
    assert (place / "edgeform/return/device-cam-1.jsonl").exists()
    assert proven(press, place).foreign == ()


def test_every_flipped_byte_is_found(press, stick):
    dice = random.Random(7)
    for file in files_of(stick):
        content = file.read_bytes()
        for position in dice.sample(range(len(content)), min(2, len(content))):
            changed = bytearray(content)
            changed[position] ^= 1 << dice.randrange(8)
            file.write_bytes(bytes(changed))
            with pytest.raises(EdgeformError) as caught:
                proven(press, stick)
            assert caught.value.exit_code in (8, 12), (file, position)
        file.write_bytes(content)
    proven(press, stick)


def test_every_removed_file_is_named(press, stick):
    for file in files_of(stick):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(Corrupt, match=file.name.replace("+", r"\+")):
            proven(press, stick)
        file.write_bytes(content)


def forge(stick, name, content):
    """Change a file and the table of contents with it, as somebody would who knows the format."""
    (stick / "edgeform" / name).write_bytes(content)
    table = bundle.decode((stick / "edgeform/bundle.json").read_bytes())
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    files = tuple(
        bundle.Listed(path=f.path, size_bytes=len(content), digest=digest) if f.path == name else f
        for f in table.files
    )
    forged = bundle.Contents(**{**vars(table), "files": files})
    (stick / "edgeform/bundle.json").write_bytes(forged.encoded())


def test_a_consistent_forgery_is_not_trusted(press, stick):
    name = "trust/metadata/timestamp.json"
    content = (stick / "edgeform" / name).read_bytes()
    forge(stick, name, content.replace(b'"expires":"20', b'"expires":"21'))
    with pytest.raises(NotTrusted):
        proven(press, stick)


def test_another_root_is_not_trusted_and_its_own_root_says_so(press, tmp_path, stick, new_trust):
    from support.device import a_publisher

    other = a_publisher(tmp_path / "other").root
    with pytest.raises(NotTrusted):
        verify(stick, now=now(), trusted_root=other)
    found = verify(stick, now=now())
    assert "its own; compare" in found.evidence[0].text


def test_an_expired_stick_is_stale(press, made):
    place = press.stick("short", made, valid_for=timedelta(days=1))
    proven(press, place)
    with pytest.raises(Stale, match="expired"):
        proven(press, place, at=now() + timedelta(days=2))


def test_the_published_timestamp_stays_newer_than_the_sticks(press, made):
    """Else a device that took the stick would refuse what is published as older."""
    place = press.stick("stick", made)
    from tuf.api.metadata import Metadata

    here = Metadata.from_file(str(press.publisher.metadata / "timestamp.json")).signed
    there = Metadata.from_file(str(place / "edgeform/trust/metadata/timestamp.json")).signed
    assert here.version == there.version + 1
    assert here.expires < there.expires


def test_a_foreign_file_is_told_and_a_link_is_not_trusted(press, stick):
    (stick / "edgeform/holiday.jpg").write_bytes(b"x")
    assert proven(press, stick).foreign == ("holiday.jpg",)
    tool = stick / "edgeform" / bundle.TOOL
    tool.rename(stick / "tool")
    tool.symlink_to(stick / "tool")
    with pytest.raises(NotTrusted, match="link or a special file"):
        proven(press, stick)


def test_a_store_that_lacks_something_makes_no_stick(press, made):
    load = press.load(made)
    digest = max(load.artifacts.objects, key=load.artifacts.objects.size_bytes)
    load.artifacts.objects.remove(digest)
    with pytest.raises(Corrupt, match="not be whole"):
        create.write(load, press.folder / "lacking")
    assert not (press.folder / "lacking/edgeform/bundle.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_stick_says_so_and_goes_on_when_there_is_room(press, made):
    place = press.folder / "full"
    place.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", place), check=True)
    try:
        with pytest.raises(OutsideFailed, match="No space left"):
            create.write(press.load(made), place)
        assert not (place / "edgeform/bundle.json").exists()
        subprocess.run(("mount", "-o", "remount,size=64m", place), check=True)
        create.write(press.load(made), place)
        proven(press, place)
    finally:
        subprocess.run(("umount", place), check=True)


@pytest.mark.skipif(
    not (shutil.which("mkfs.vfat") and shutil.which("mcopy")),
    reason="no dosfstools or no mtools here",
)
def test_a_fat_image_holds_the_same(press, stick, tmp_path):
    size = image.write_image(stick, tmp_path / "stick.img")
    assert size < 64 * 1024**2
    with image.opened(tmp_path / "stick.img", scratch=tmp_path) as folder:
        found = proven(press, folder)
        assert [p.name for p in files_of(folder.parent / folder.name)] == [
            p.name for p in files_of(stick)
        ]
    assert found.contents == proven(press, stick).contents


def test_fingerprints_are_typed_as_people_type():
    digest = "sha256:" + "0123456789abcdef" * 4
    shown = bundle.fingerprint(digest)
    assert shown == "0123-4567-89ab-cdef-0123-4567-89ab-cdef"
    for typed in (shown, shown.upper().replace("-", " "), digest, digest[7:]):
        assert bundle.is_fingerprint_of(typed, digest), typed
    for typed in ("", shown[:-1], shown[:-1] + "e", "0123", digest + "0"):
        assert not bundle.is_fingerprint_of(typed, digest), typed
