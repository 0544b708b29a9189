"""Reports on disk: hours without a broker, a full disk, SIGKILL at any time, a clock that jumps; receipts stay."""

import contextlib
import os
import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from support.broker import a_broker, needs_broker
from support.documents import a_signed_receipt

from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.pipeline.report import Remote
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.report import remote
from edgeform_runtime.stages.report.remote import RemoteReporter
from edgeform_runtime.stages.report.spool import Spool


def a_line(seq):
    signed = a_signed_receipt()
    return replace(signed, receipt=replace(signed.receipt, seq=seq)).encoded_line()


@contextlib.contextmanager
def a_reporter(prefix, port, spool_bytes=100_000):
    where = Broker("127.0.0.1", port, False, None, None, None, None, None)
    place = Place(str(prefix), "gate", "lab", "cam-01", generation=42)
    found = RemoteReporter(Remote("plain", where, None, 60.0, spool_bytes), place, 0)
    try:
        yield found
    finally:
        found.close(10.0)
        place.links.close()


class Clocks:
    """The device's wall clock and its time since boot, told by the test; everything else waits really."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME
    monotonic, sleep = staticmethod(time.monotonic), staticmethod(time.sleep)

    def __init__(self):
        self.wall, self.boot = 1_790_000_000.0, 100.0

    def time(self):
        return self.wall

    def clock_gettime(self, _):
        return self.boot


@needs_broker
def test_a_broker_that_was_down_for_two_days_gets_every_receipt_and_is_told_what_is_gone(
    tmp_path, monkeypatch
):
    (tmp_path / "receipts.jsonl").write_bytes(b"".join(a_line(n) for n in range(1, 21)))
    clocks = Clocks()
    monkeypatch.setattr(remote, "time", clocks)
    with a_broker(tmp_path / "broker") as broker:
        broker.stop()
        with a_reporter(tmp_path, broker.port) as reporter:
            for minute in range(48 * 60):  # a report a minute
                clocks.wall += 60
                clocks.boot += 60
                if minute == 1000:
                    clocks.wall -= 400 * 86400  # an RTC without a battery
                if minute == 2000:
                    clocks.wall += 500 * 86400  # and NTP again, too far
                reporter.write()
            folder = tmp_path / "results" / "gate" / "spool-0"
            assert sum(f.stat().st_size for f in folder.glob("*.jsonl")) <= 100_000
        broker.start()
        listener = broker.listen("edgeform/#")
        try:
            with a_reporter(tmp_path, broker.port) as reporter:  # after a restart, too
                reporter.start()
                seen = listener.wait(lambda s: any(m.get("seq") == 2880 for _, m in s), 180)
        finally:
            listener.close()
    receipts = [m["receipt"]["seq"] for topic, m in seen if topic.endswith("/receipt")]
    reports = [m for topic, m in seen if topic.endswith("/report")]
    assert sorted(set(receipts)) == list(range(1, 21))
    numbers = [m["seq"] for m in reports]
    assert sorted(set(numbers)) == list(range(numbers[0], 2881)), "in one piece"
    assert reports[0]["gap"] == {"from": 1, "to": numbers[0] - 1}
    assert all(m["gap"] is None for m in reports[1:])
    assert [m["boot_s"] for m in reports] == sorted(m["boot_s"] for m in reports)


CHILD = """
import sys
from edgeform_runtime.stages.report.spool import Spool
spool, number = Spool(sys.argv[1], 10_000_000), 0
while True:
    number += 1
    print("kept", spool.append({"n": number, "filling": "x" * (number % 300)}), flush=True)
    if number % 3 == 0:
        found = spool.peek()
        for lost in range(found.lost_from, found.seq) if found.lost_from else ():
            print("lost", lost, flush=True)
        print("sent", found.seq, flush=True)
        spool.taken(found.seq)
"""


def test_whenever_it_is_killed_what_was_kept_is_sent_or_still_there(tmp_path):
    chance = random.Random(20261128)
    kept, sent, lost = set(), set(), set()
    for _ in range(12):
        child = subprocess.Popen(
            (sys.executable, "-c", CHILD, str(tmp_path)), stdout=subprocess.PIPE, text=True
        )
        lines = [child.stdout.readline()]  # it is at work
        time.sleep(chance.uniform(0.0, 0.15))
        child.kill()
        lines += child.stdout.read().splitlines()
        child.wait(10)
        for line in lines:
            word, _, number = line.strip().partition(" ")
            if number:
                {"kept": kept, "sent": sent, "lost": lost}[word].add(int(number))
    spool = Spool(str(tmp_path), 10_000_000)
    left = set()
    while (found := spool.peek()) is not None:
        lost |= set(range(found.lost_from, found.seq)) if found.lost_from else set()
        left.add(found.seq)
        spool.taken(found.seq)
    assert len(kept) > 100
    assert kept <= sent | left, "nothing that was acknowledged is missing"
    assert not kept & lost


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a small file system of its own needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield folder
    subprocess.run(("umount", str(folder)), check=True)


def test_a_full_disk_costs_what_it_did_not_take_and_nothing_else(small_disk):
    """The spool may take more than the disk has: another program took the rest."""
    spool = Spool(str(small_disk / "spool"), 10_000_000)
    kept, refused = [], 0
    for n in range(40):
        try:
            kept.append(spool.append({"n": n, "filling": "x" * 2500}))
        except OSError:
            refused += 1
    assert kept
    assert refused
    taken = []
    while (found := spool.peek()) is not None:
        taken.append(found.seq)
        with contextlib.suppress(OSError):  # it is sent all the same, and known until a restart
            spool.taken(found.seq)
    assert taken == kept
    seq = spool.append({"n": 99, "filling": "y" * 2500})
    found = spool.peek()
    assert found.record["n"] == 99, "there is room again"
    assert len(range(found.lost_from, found.seq)) == refused, "and what was refused is said"
    spool.taken(seq)
    assert Spool(str(small_disk / "spool"), 10_000_000).peek() is None


def test_a_report_after_a_torn_one_is_not_torn_with_it(tmp_path, monkeypatch):
    spool = Spool(str(tmp_path), 100_000)
    spool.append({"n": 0})
    whole = os.fsync

    def full(handle):
        os.ftruncate(handle, os.fstat(handle).st_size - 5)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.append({"n": 1})
    monkeypatch.setattr(os, "fsync", whole)
    assert spool.append({"n": 2}) == 3
    found = []
    while (entry := spool.peek()) is not None:
        found.append((entry.seq, entry.record["n"], entry.lost_from))
        spool.taken(entry.seq)
    assert found == [(1, 0, 0), (3, 2, 2)]


def test_a_full_disk_does_not_stop_sending_nor_lose_a_receipt(tmp_path, monkeypatch):
    (tmp_path / "receipts.jsonl").write_bytes(a_line(1))
    sent = []
    with a_reporter(tmp_path, 1) as reporter:
        monkeypatch.setattr(reporter.place.link(reporter._stage.broker), "start", lambda: None)
        monkeypatch.setattr(reporter, "_send", lambda message: sent.append(message.topic))
        monkeypatch.setattr(
            os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space"))
        )
        monkeypatch.setattr(remote, "PAUSES_S", (0.01, 0.02))
        reporter.write()
        deadline = time.monotonic() + 20
        while len(sent) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert sent[0].endswith("/receipt")
    assert sent[1].endswith("/report")
