"""What the device takes from a stick: the signed bytes, wholly, or nothing; never a link, never another site's."""

import errno
import os
import random
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from support.device import (
    MODEL_FILES,
    RUNTIME_FILES,
    a_deployment,
    a_generation,
    an_enrolled_device,
)
from support.soak import DEPTH
from support.stick import copied, files_of

from edgeform_device import identity, trusted, undertake
from edgeform_device.errors import (
    Corrupt,
    DeviceError,
    Incomplete,
    Locked,
    NotTrusted,
    Refused,
    Stale,
)
from edgeform_device.live import live_environment
from edgeform_device.medium import Folder
from edgeform_device.offer import Offer
from edgeform_device.ports import TRANSACTION_LOCK
from edgeform_device.records import Order, State
from edgeform_device.session import open_session
from edgeform_device.store import Store
from edgeform_wire import bundle
from edgeform_wire import digest as digests

WANTED = {digests.of_bytes(c) for c in (*MODEL_FILES.values(), *RUNTIME_FILES.values())}


def offered(device, place, medium=None):
    who = identity.load(device.disk, device.layout)
    return Offer(medium or Folder(str(place)), device.disk, device.layout, who)


def take(device, place, medium=None):
    offer = offered(device, place, medium)
    approved = offer.examine()
    offer.bring(approved)
    return approved


def has_all(device):
    return all(Store(device.layout, device.disk).is_intact(d) for d in WANTED)


def installed_state(device):
    """Everything that decides what runs: untouched until a transaction begins."""
    return {
        p.relative_to(device.prefix).as_posix(): p.read_bytes()
        for p in sorted(device.prefix.rglob("*"))
        if p.is_file() and p.parts[len(device.prefix.parts)] in ("state", "gen", "trees")
    }


@pytest.fixture
def stick(press):
    return press.stick("stick", press.a_small_one())


def test_a_stick_brings_everything_and_nothing_else_is_changed(device, stick):
    before = installed_state(device)
    approved = take(device, stick)
    assert approved.deployment.number == 1
    assert has_all(device)
    assert trusted.missing_blobs(Store(device.layout, device.disk), approved) == {}
    assert installed_state(device) == before


def test_a_long_blob_comes_in_parts(device, stick):
    weights = bundle.blob_name(digests.of_bytes(MODEL_FILES["model.onnx"]))
    parts = sorted(p.name for p in (stick / "edgeform" / weights).parent.iterdir())
    assert len(parts) == 3
    assert parts[0].endswith(".000")
    take(device, stick)
    assert has_all(device)


def outcome(device, place):
    """`took`, or the error; a refusal has changed nothing that decides what runs."""
    before = installed_state(device)
    try:
        take(device, place)
    except DeviceError as exc:
        found = exc
    else:
        assert has_all(device)
        return None
    assert installed_state(device) == before
    assert found.exit_code in (6, 8, 9, 12), found
    assert found.hint, found
    return found


def flip(file, position):
    content = bytearray(file.read_bytes())
    content[position] ^= 1 << (position % 8)
    file.write_bytes(bytes(content))


def flips(another, stick, positions_of):
    """Each flipped byte on a device of its own; how many were refused."""
    refused = tried = 0
    for file in files_of(stick):
        content = file.read_bytes()
        for position in positions_of(file, content):
            victim = another()
            flip(file, position)
            try:
                refused += outcome(victim, stick) is not None
            finally:
                file.write_bytes(content)
                shutil.rmtree(victim.prefix)
            tried += 1
    return refused, tried


def test_any_flipped_byte_is_refused_or_changes_nothing_of_what_is_taken(another, stick):
    dice = random.Random(5)

    def positions(file, content):
        if "trust" in file.parts:
            return dice.sample(range(len(content)), 2)
        return dice.sample(range(len(content)), 1) if file.name.endswith((".000", ".json")) else ()

    refused, tried = flips(another, stick, positions)
    assert tried > 12
    assert refused > tried // 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_byte_of_the_metadata_may_flip(another, stick):
    """Every byte in a soak, which takes half an hour; every 23rd in `make test-all`."""
    step = 1 if DEPTH > 1 else 23

    def positions(file, content):
        every = step if "trust" in file.parts else 997 * step
        return range(file.stat().st_size % step, len(content), every)

    refused, tried = flips(another, stick, positions)
    assert tried > 5000 // step
    assert refused > tried // 2


def test_any_removed_file_is_named_or_not_needed(another, stick):
    for file in files_of(stick):
        victim = another()
        content = file.read_bytes()
        file.unlink()
        error = outcome(victim, stick)
        file.write_bytes(content)
        name = file.name
        needless = ("bundle.json", "README.txt", bundle.TOOL, "1.root.json")
        if name in needless or file.parent.name == bundle.SBOM:
            assert error is None, name
        else:
            assert isinstance(error, Incomplete | NotTrusted | Corrupt), name


def test_pulled_out_at_any_byte_it_goes_on(device, stick):
    """The medium ends after so many bytes, again and again; each time it gets further, and at last it is done."""
    budget, rounds = 4000, 0
    while True:
        rounds += 1
        assert rounds < 100
        try:
            take(device, stick, Leaving(Folder(str(stick)), budget))
        except Incomplete as exc:
            said = exc.hint
        else:
            break
        assert "Put the stick in again" in said
        budget += 1500
    assert rounds > 5
    assert has_all(device)


class Leaving:
    """A stick that is pulled out after so many bytes."""

    def __init__(self, inner, budget):
        self._inner, self._left = inner, budget
        self.place, self.road = inner.place, inner.road

    def _spend(self, count):
        self._left -= count
        if self._left < 0:
            gone = OSError(errno.EIO, os.strerror(errno.EIO))
            raise self._inner._gone("some file", gone)

    def read(self, name, limit):
        content = self._inner.read(name, limit)
        self._spend(len(content or b""))
        return content

    def size(self, name):
        self._spend(0)
        return self._inner.size(name)

    def pieces(self, name, offset):
        for piece in self._inner.pieces(name, offset):
            for at in range(0, len(piece), 500):
                self._spend(500)
                yield piece[at : at + 500]


def test_a_damaged_leftover_of_the_last_time_costs_only_time(device, stick):
    weights = digests.of_bytes(MODEL_FILES["model.onnx"])
    part = device.layout.part(weights)
    os.makedirs(os.path.dirname(part), exist_ok=True)
    with open(part, "wb") as stream:
        stream.write(b"x" * 5000)
    take(device, stick)
    assert has_all(device)


def test_a_stick_of_another_site_is_refused_in_plain_words(device, press, stick):
    table = bundle.decode((stick / "edgeform/bundle.json").read_bytes())
    other = bundle.Contents(**{**vars(table), "site": "harbour"})
    (stick / "edgeform/bundle.json").write_bytes(other.encoded())
    error = outcome(device, stick)
    assert isinstance(error, NotTrusted)
    assert "for site harbour; this device is lab/cam-1" in error.summary


def test_a_stick_of_another_root_is_refused(tmp_path, device, press):
    from support.device import a_publisher
    from support.stick import Press

    (tmp_path / "other").mkdir()
    foreign = Press(tmp_path / "other", a_publisher(tmp_path / "other/trust"))
    error = outcome(device, foreign.stick("stick", foreign.a_small_one()))
    assert isinstance(error, NotTrusted)


def test_a_stick_without_this_device_says_so(tmp_path, press, stick):
    other = an_enrolled_device(tmp_path / "two", press.publisher.root, device="cam-2")
    error = outcome(other, stick)
    assert isinstance(error, NotTrusted)
    assert "nothing here for this device (lab/cam-2)" in error.summary


def test_an_older_stick_is_refused_in_plain_words_and_so_is_a_replayed_one(device, press, stick):
    newer = press.stick("newer", press.a_small_one("2.0"))
    assert outcome(device, newer) is None
    error = outcome(device, stick)
    assert isinstance(error, NotTrusted)
    assert "already has newer metadata" in error.summary


def test_files_of_two_sticks_mixed_are_refused(device, press, stick):
    newer = press.stick("newer", press.a_small_one("2.0"))
    shutil.copy(newer / "edgeform/trust/metadata/timestamp.json", stick / "edgeform/trust/metadata")
    error = outcome(device, stick)
    assert isinstance(error, NotTrusted | Corrupt)


@pytest.mark.parametrize("clock", ["vouched", "none"])
def test_an_expired_stick_is_stale_where_anything_knows_the_time(device, press, monkeypatch, clock):
    from edgeform_device import clock as clocks
    from edgeform_device import offer as offers

    expired = press.stick("expired", press.a_small_one(), valid_for=timedelta(days=1))
    now_s = int((datetime.now(UTC) + timedelta(days=3)).timestamp())

    def later(*, built_s, is_required=False):
        if clock == "vouched":
            return clocks.Clock(built_s=built_s, now_s=now_s, is_vouched=True)
        return clocks.Clock(built_s=built_s, now_s=0, is_vouched=False)

    monkeypatch.setattr(offers, "read_clock", later)
    error = outcome(device, expired)
    if clock == "vouched":
        assert isinstance(error, Stale)
        assert "expired" in error.summary
    else:
        assert error is None, "it cannot know, installs, and says `unknown`"
        assert offered(device, expired).examine().freshness == "unknown"


@pytest.mark.parametrize("what", ["metadata", "blob", "folder", "pipe", "folder in place"])
def test_links_and_special_files_are_refused_by_name(device, press, stick, what):
    metadata = stick / "edgeform/trust/metadata/timestamp.json"
    weights = digests.of_bytes(MODEL_FILES["labels.txt"])
    blob = stick / "edgeform" / bundle.blob_name(weights)
    if what == "metadata":
        metadata.rename(stick / "elsewhere")
        metadata.symlink_to(stick / "elsewhere")
    elif what == "blob":
        blob.rename(stick / "elsewhere")
        blob.symlink_to(stick / "elsewhere")
    elif what == "folder":
        blob.parent.rename(stick / "elsewhere")
        blob.parent.symlink_to(stick / "elsewhere")
    elif what == "pipe":
        blob.unlink()
        os.mkfifo(blob)
    else:
        blob.unlink()
        blob.mkdir()
    error = outcome(device, stick)
    assert isinstance(error, NotTrusted)
    assert "link or a special file" in error.summary


def test_odd_names_on_the_stick_disturb_nobody(device, stick):
    top = stick / "edgeform"
    for name in ("Thumbs.db", "con", "ü\n;rm -rf", ".Trash-0", "trust/metadata/TIMESTAMP.JSON~1"):
        (top / name).write_bytes(b"x")
    assert outcome(device, stick) is None


def test_an_endless_blob_is_read_no_further_than_signed(device, stick):
    labels = digests.of_bytes(MODEL_FILES["labels.txt"])
    with open(stick / "edgeform" / bundle.blob_name(labels), "ab") as stream:
        stream.truncate(5 * 1024**3)  # sparse
    error = outcome(device, stick)
    assert isinstance(error, Corrupt)
    assert "damaged" in error.summary


def test_two_sticks_at_once_are_one_after_the_other(device):
    env = live_environment(open_session(str(device.prefix), "/", None))
    held = undertake.bring_lock(env)
    with pytest.raises(Locked):
        undertake.bring_lock(env)
    held.release()
    undertake.bring_lock(env).release()


def test_an_order_that_nobody_carries_out_locks_nobody_out_and_a_running_one_does(device):
    env = live_environment(open_session(str(device.prefix), "/", None))
    state = State(env.disk, env.layout)
    order = Order("t1-dead", 1, 1, 0, digests.PREFIX + "0" * 64, "ssh", "me", "nonce-0123")
    state.write_order(order)
    undertake.bring_lock(env).release()
    working = env.locks.take(TRANSACTION_LOCK, 0.0)
    with pytest.raises(Locked, match="at work on this device"):
        undertake.bring_lock(env)
    working.release()
    undertake.bring_lock(env).release()


def test_a_folder_that_is_none_is_said_to_be_none(tmp_path):
    with pytest.raises(Refused, match="is no folder"):
        Folder(str(tmp_path / "nothing"))


def test_what_a_medium_leaves_in_return_never_goes_through_a_link(tmp_path, stick):
    secret = tmp_path / "passwd"
    secret.write_text("before")
    medium = Folder(str(stick))
    (stick / "edgeform/return").mkdir()
    (stick / "edgeform/return/device-cam-1.jsonl.tmp").symlink_to(secret)
    (stick / "edgeform/return/device-cam-1.jsonl").symlink_to(secret)
    medium.write("return/device-cam-1.jsonl", b"after")
    assert secret.read_text() == "before"
    assert (stick / "edgeform/return/device-cam-1.jsonl").read_bytes() == b"after"
    shutil.rmtree(stick / "edgeform/return")
    (stick / "edgeform/return").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"."):
        medium.write("return/device-cam-1.jsonl", b"after")


def test_what_is_said_to_be_written_stays_when_the_stick_is_pulled_without_umount(
    tmp_path, monkeypatch
):
    """On FAT, entries of new folders and renamed files reach the medium by a sync of what they name and stand in."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    Folder(str(tmp_path)).write("return/device-cam-1.jsonl", b"x")
    folder = tmp_path / "edgeform" / "return"
    assert {str(p) for p in (tmp_path, tmp_path / "edgeform", folder)} <= set(synced)
    assert synced.index(str(tmp_path / "edgeform")) < synced.index(str(folder))
    # Under its own name, too: until then a FAT entry that was renamed says that the file is empty.
    assert str(folder / "device-cam-1.jsonl") in synced


def test_an_empty_stick_gets_a_folder_of_ours_and_a_store_does_not(tmp_path):
    empty, store = tmp_path / "empty", tmp_path / "store"
    empty.mkdir()
    (store / "trust").mkdir(parents=True)
    for place in (empty, store):
        for _ in range(2):
            Folder(str(place)).write("return/x", b"1")
    assert (empty / "edgeform/return/x").read_bytes() == b"1"
    assert (store / "return/x").read_bytes() == b"1"


def test_a_copied_stick_is_as_good_as_the_first(device, stick):
    assert outcome(device, copied(stick, "copy")) is None


def test_deployments_of_two_devices_share_a_stick(tmp_path, press):
    one = press.a_small_one()
    from support.device import a_model, an_artifact

    model, runtime = a_model(), an_artifact(RUNTIME_FILES, executable=["bin/run"])
    two = a_deployment(a_generation(model, runtime, device="cam-2"))
    press.publisher.publish(two, model, runtime)
    place = press.stick("both", one, two)
    for name in ("cam-1", "cam-2"):
        other = an_enrolled_device(tmp_path / name, press.publisher.root, device=name)
        assert take(other, place).deployment.device == name
