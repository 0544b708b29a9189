"""Reports: kept on disk until a real broker has them, in order, with what was lost said."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.broker import a_broker, needs_broker
from support.documents import a_signed_receipt
from support.runtime import SCENES, Prefix, a_pipeline_file, running, some_stages

from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.pipeline.report import Remote
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.report.profiles import Profile, method_answer
from edgeform_runtime.stages.report.receipts import Receipts
from edgeform_runtime.stages.report.remote import RemoteReporter
from edgeform_runtime.stages.report.spool import Spool
from edgeform_runtime.stages.report.update import update_status

SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()
REPORT = {
    "schema": "edgeform.report/1",
    "site": "lab",
    "device": "cam-01",
    "pipeline": "gate",
    "time": 1760000000.0,
    "boot_id": "b7",
    "boot_s": 61.5,
    "generation": 42,
    "generation_digest": "sha256:" + "ab" * 32,
    "model": "digits@1.0.0/f32",
    "update": {"state": "committed", "committed": 42},
    "period_s": 60.0,
    "results": 9,
    "labels": {"8": 9},
    "p50_ms": 1.5,
    "p95_ms": 2.5,
    "failed": 0,
    "dropped": 1,
    "seq": 7,
    "gap": {"from": 3, "to": 6},
}


def a_line(seq):
    signed = a_signed_receipt()
    return replace(signed, receipt=replace(signed.receipt, seq=seq)).encoded_line()


def drained(spool):
    """(seq, n, lost_from) of everything, as a sender takes it."""
    found = []
    while (entry := spool.peek()) is not None:
        found.append((entry.seq, entry.record["n"], entry.lost_from))
        spool.taken(entry.seq)
    return found


def test_records_come_out_in_order_and_survive_a_restart(tmp_path):
    spool = Spool(str(tmp_path), 100_000)
    assert [spool.append({"n": n}) for n in range(3)] == [1, 2, 3]
    spool.taken(1)
    again = Spool(str(tmp_path), 100_000)
    again.append({"n": 3})
    assert drained(again) == [(2, 1, 0), (3, 2, 0), (4, 3, 0)]
    assert Spool(str(tmp_path), 100_000).append({"n": 4}) == 5


def test_a_full_spool_forgets_the_oldest_and_says_which(tmp_path):
    spool = Spool(str(tmp_path), 8_000)
    for n in range(400):
        spool.append({"n": n, "filling": "x" * 60})
        assert spool.size_bytes <= 8_000
    (first, _, lost_from), *rest = drained(spool)
    assert lost_from == 1
    assert first > 200
    assert [lost for _, _, lost in rest] == [0] * len(rest)
    assert rest[-1][:2] == (400, 399)


def test_a_torn_and_a_damaged_line_are_a_gap_and_nothing_else(tmp_path):
    spool = Spool(str(tmp_path), 100_000)
    for n in range(5):
        spool.append({"n": n})
    (path,) = tmp_path.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"n":1', b'"n":7')
    path.write_bytes(b"".join(lines[:4]) + lines[4][:-5])
    again = Spool(str(tmp_path), 100_000)
    assert again.append({"n": 5}) == 5, "the torn one was never acknowledged"
    assert drained(again) == [(1, 0, 0), (3, 2, 2), (4, 3, 0), (5, 5, 0)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=st.lists(st.sampled_from(["append", "take", "restart"]), max_size=60),
    size=st.sampled_from([2_000, 100_000]),
)
def test_every_record_is_taken_once_or_named_as_lost(story, size, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("spool"))
    spool, written, seen = Spool(folder, size), 0, []
    for step in [*story, "restart"]:
        if step == "append":
            written = spool.append({"n": 0, "filling": "x" * 80})
        elif step == "restart":
            spool = Spool(folder, size)
        elif (entry := spool.peek()) is not None:
            spool.taken(entry.seq)
            seen += (
                [*range(entry.lost_from, entry.seq), entry.seq] if entry.lost_from else [entry.seq]
            )
    for seq, _, lost_from in drained(spool):
        seen += [*range(lost_from, seq), seq] if lost_from else [seq]
    assert seen == list(range(1, written + 1))


def test_a_disk_that_is_full_uses_the_number_up(tmp_path, monkeypatch):
    spool = Spool(str(tmp_path), 100_000)
    spool.append({"n": 0})
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    (path,) = tmp_path.glob("*.jsonl")
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        spool.append({"n": 1})
    monkeypatch.undo()
    path.write_bytes(before)
    spool.append({"n": 2})
    assert drained(spool) == [(1, 0, 0), (3, 2, 2)]


def test_receipts_are_given_in_order_until_they_are_taken(tmp_path):
    path = tmp_path / "receipts.jsonl"
    receipts = Receipts(str(path), str(tmp_path))
    assert receipts.peek() is None
    lines = [a_line(n) for n in (1, 2, 3)]
    path.write_bytes(lines[0] + b"damaged\n" + lines[1])
    assert receipts.peek() == (1, lines[0][:-1])
    receipts.taken(1)
    assert Receipts(str(path), str(tmp_path)).peek() == (2, lines[1][:-1])
    receipts.taken(2)
    assert receipts.peek() is None
    path.write_bytes(path.read_bytes() + lines[2][:20])
    assert receipts.peek() is None, "it is being written"
    path.write_bytes(lines[0] + lines[1] + lines[2])
    assert receipts.peek() == (3, lines[2][:-1])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), {"state": "unknown", "committed": 0}),
        (("committed",), {"state": "committed", "committed": 42}),
        (("committed", "txn"), {"state": "in_progress", "committed": 42}),
        (("committed", "txn", "needs_hands"), {"state": "needs_hands", "committed": 42}),
    ],
)
def test_the_update_is_what_the_device_tool_left(tmp_path, files, expected):
    (tmp_path / "state").mkdir()
    for name in files:
        (tmp_path / "state" / name).write_text('{"generation": 42}')
    assert update_status(str(tmp_path)) == expected


@pytest.mark.parametrize("kind", ["plain", "aws_iot", "azure_iot"])
def test_topics_and_payloads(kind, golden):
    place = Place("", "gate", "lab", "cam-01")
    profile = Profile(kind=kind, name="cam-01", place=place)
    messages = [*profile.report(REPORT), profile.receipt(b'{"receipt":{}}')]
    lines = [f"client id: {profile.client_id(0)}", f"user: {profile.username('hub.example')}"]
    lines += [f"subscribe: {topic}" for topic in profile.answers()]
    for message in messages:
        shown = json.dumps(json.loads(message.payload), indent=1, sort_keys=True)
        lines += [f"publish: {message.topic}", shown]
    golden(f"report-profiles/{kind}.txt", "\n".join(lines) + "\n")


def test_a_shadow_stays_below_what_aws_takes():
    profile = Profile(kind="aws_iot", name="t", place=Place("", "gate", "lab", "cam-01"))
    (message,) = profile.report({**REPORT, "model": "m" * 50, "failed": "x" * 9000})
    assert len(message.payload) < 6 * 1024
    assert json.loads(message.payload)["state"]["reported"]["generation"] == 42


def test_a_method_that_nobody_has_is_answered():
    assert method_answer("$iothub/methods/POST/exec/?$rid=7") == "$iothub/methods/res/404/?$rid=7"


@pytest.fixture
def broker(tmp_path_factory):
    with a_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


def a_reporter(prefix, broker, profile="plain", metrics=None):
    where = Broker("127.0.0.1", broker.port, False, None, None, None, None, None)
    stage = Remote(profile, where, None, 60.0, 1_000_000)
    place = Place(
        str(prefix),
        "gate",
        "lab",
        "cam-01",
        generation=42,
        generation_digest="sha256:00",
        model_ref="m@1/f32",
        metrics=metrics,
    )
    return RemoteReporter(stage, place, 0)


@needs_broker
def test_what_happened_while_the_broker_was_away_arrives_in_order(tmp_path, broker):
    (tmp_path / "receipts.jsonl").write_bytes(b"".join(a_line(n) for n in (1, 2)))
    broker.stop()
    before = a_reporter(tmp_path, broker)
    before.write()
    before.write()
    before.close(0.1)
    broker.start()
    listener = broker.listen("edgeform/#")
    reporter = a_reporter(tmp_path, broker)
    try:
        reporter.write()
        found = listener.wait(lambda seen: len(seen) >= 5)
    finally:
        reporter.close(5.0)
        listener.close()
    base = "edgeform/v1/lab/cam-01"
    receipts = [m["receipt"]["seq"] for topic, m in found if topic == f"{base}/receipt"]
    reports = [m for topic, m in found if topic == f"{base}/gate/report"]
    assert receipts == [1, 2]
    assert [(m["seq"], m["gap"], m["generation"]) for m in reports] == [
        (1, None, 42),
        (2, None, 42),
        (3, None, 42),
    ]
    assert reports[0]["update"] == {"state": "unknown", "committed": 0}


@needs_broker
def test_a_hubs_method_call_is_refused_and_its_topics_are_used(tmp_path, broker):
    telemetry = broker.listen("devices/cam-01/messages/events/#")
    hub = broker.listen("$iothub/#")
    reporter = a_reporter(tmp_path, broker, "azure_iot")
    try:
        reporter.write()
        ((topic, report),) = telemetry.wait(len)
        ((twin_topic, twin),) = hub.wait(len)
        hub.publish("$iothub/methods/POST/exec/?$rid=9", b"{}")
        answered = hub.wait(lambda seen: any("/res/" in topic for topic, _ in seen))
    finally:
        reporter.close(5.0)
        telemetry.close()
        hub.close()
    assert topic.endswith("$.ct=application%2Fjson&$.ce=utf-8&type=report")
    assert twin_topic == "$iothub/twin/PATCH/properties/reported/?$rid=1"
    assert twin["edgeform"]["seq"] == report["seq"] == 1
    assert "$iothub/methods/res/404/?$rid=9" in [topic for topic, _ in answered]


@needs_broker
def test_a_shadow_that_is_rejected_is_counted(tmp_path, broker):
    shadow = "$aws/things/cam-01/shadow/name/edgeform/update"
    listener = broker.listen("$aws/#")
    metrics = Metrics("gate")
    reporter = a_reporter(tmp_path, broker, "aws_iot", metrics)
    try:
        reporter.write()
        ((topic, document),) = listener.wait(len)
        listener.publish(f"{shadow}/rejected", b'{"code":400}')
        deadline = time.monotonic() + 10
        while metrics.reports.total(outcome="rejected") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        reporter.close(5.0)
        listener.close()
    assert topic == shadow
    assert document["state"]["reported"]["generation"] == 42


@needs_broker
def test_a_pipeline_reports_while_it_runs(tmp_path, broker):
    prefix = Prefix(tmp_path)
    prefix.put_model()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "committed").write_text('{"generation": 1}')
    where = {"host": "127.0.0.1", "port": broker.port, "tls": False}
    stages = some_stages(report=[{"kind": "mqtt", "broker": where, "every_s": 0.2}])
    listener = broker.listen("edgeform/#")
    try:
        with running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages))) as daemon:
            daemon.http().post("/v1/frames", SCENE)
            seen = listener.wait(lambda s: any(m["results"] for _, m in s))
            text = daemon.http().get("/metrics")[1].decode()
            assert daemon.stop() == 0
    finally:
        listener.close()
    report = next(m for _, m in seen if m["results"])
    assert report["labels"] == {"8": 1}
    assert (report["generation"], report["update"]) == (1, {"state": "committed", "committed": 1})
    assert [m["seq"] for _, m in seen] == list(range(1, len(seen) + 1))
    assert 'edgeform_egress_bytes_total{pipeline="gate",kind="report_plain"}' in text


def test_reports_wait_on_disk_when_the_broker_never_was(tmp_path):
    where = Broker("127.0.0.1", 1, False, None, None, None, None, None)
    stage = Remote("plain", where, None, 60.0, 1_000_000)
    reporter = RemoteReporter(stage, Place(str(tmp_path), "gate", "lab", "cam-01"), 0)
    started = time.monotonic()
    reporter.write()
    assert time.monotonic() - started < 2.0, "writing never waits for the broker"
    reporter.close(0.1)
    assert Spool(str(tmp_path / "results/gate/spool-0"), 1_000_000).peek() is not None
