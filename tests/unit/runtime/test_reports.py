"""Reports: kept on disk until a real broker has them, in order, with what was lost said."""

import contextlib
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
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.report import conversation
from edgeform_runtime.stages.report.asks import Answer, Ask, Desk
from edgeform_runtime.stages.report.profiles import Profile
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


ASKS = {
    "plain": [Ask("status", "topic", "q-1")],
    "aws_iot": [Ask("status", "job", "job-7", 3), Ask("report", "desired", "q-2")],
    "azure_iot": [Ask("status", "method", "5"), Ask("report", "desired", "q-2")],
}


@pytest.mark.parametrize("kind", ["plain", "aws_iot", "azure_iot"])
def test_topics_and_payloads(kind, golden):
    place = Place("", "gate", "lab", "cam-01")
    profile = Profile(kind=kind, name="cam-01", place=place, may_be_asked=True)
    told = profile.report(REPORT, ("old-gate",))
    messages = [*conversation.hello(profile), *told, profile.receipt(b'{"receipt":{}}')]
    for ask in ASKS[kind]:
        said = Answer(200, {"generation": 42, "update": {"state": "committed"}})
        messages += conversation.answer(profile, ask, said)
    lines = [f"client id: {profile.client_id}", f"user: {profile.username('hub.example')}"]
    lines += [f"subscribe: {topic}" for topic in conversation.topics(profile)]
    for message in messages:
        shown = json.dumps(json.loads(message.payload or b"null"), indent=1, sort_keys=True)
        lines += [f"publish: {message.topic}", shown]
    golden(f"report-profiles/{kind}.txt", "\n".join(lines) + "\n")


def test_a_shadow_stays_below_what_aws_takes():
    profile = Profile(kind="aws_iot", name="t", place=Place("", "gate", "lab", "cam-01"))
    (message,) = profile.report({**REPORT, "model": "m" * 50, "failed": "x" * 9000})
    assert len(message.payload) < 6 * 1024
    assert json.loads(message.payload)["state"]["reported"]["generation"] == 42


@pytest.fixture
def broker(tmp_path_factory):
    with a_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


def a_reporter(prefix, broker, profile="plain", metrics=None, where=None, names=(), **changes):
    where = where or Broker("127.0.0.1", broker.port, False, None, None, None, None, None)
    stage = Remote(profile, where, None, 60.0, 1_000_000, **changes)
    place = Place(
        str(prefix),
        "gate",
        "lab",
        "cam-01",
        Secrets(names, str(prefix / "secrets")),
        generation=42,
        generation_digest="sha256:00",
        model_ref="m@1/f32",
        metrics=metrics,
    )
    found = RemoteReporter(stage, place, 0)
    found.broker = where
    return found


@needs_broker
def test_what_happened_while_the_broker_was_away_arrives_in_order(tmp_path, broker):
    (tmp_path / "receipts.jsonl").write_bytes(b"".join(a_line(n) for n in (1, 2)))
    broker.stop()
    before = a_reporter(tmp_path, broker)
    before.write()
    before.write()
    before.close(0.1)
    before.place.links.close()
    broker.start()
    listener = broker.listen("edgeform/#")
    reporter = a_reporter(tmp_path, broker)
    try:
        reporter.write()
        found = listener.wait(lambda seen: len(seen) >= 5)
    finally:
        reporter.close(5.0)
        reporter.place.links.close()
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


@contextlib.contextmanager
def a_device(prefix, broker, profile, **changes):
    """The device at a broker that asks for its certificate: a reporter, and what it was told to whom."""
    secrets = prefix / "secrets"
    secrets.mkdir()
    names = ("ca.pem", "device.pem", "device.key")
    for name in names:
        (secrets / name).write_bytes((broker.authority.folder / name).read_bytes())
    where = Broker("localhost", broker.tls_port, True, *names, None, None)
    reporter = a_reporter(prefix, broker, profile, where=where, names=names, **changes)
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.close(5.0)
        reporter.place.links.close()


def at(seen, topic):
    return [message for where, message in seen if where == topic]


@needs_broker
def test_a_hub_gets_telemetry_and_the_twin_and_asks_by_method_and_by_desired_properties(
    tmp_path, broker
):
    telemetry = broker.listen("devices/cam-01/messages/events/#")
    hub = broker.listen("$iothub/#")
    try:
        with a_device(tmp_path, broker, "azure_iot", commands=("report", "status")) as reporter:
            hub.wait(lambda seen: at(seen, "$iothub/twin/GET/?$rid=get"))
            twin = {
                "desired": {},
                "reported": {"edgeform": {"pipelines": {"gone": {}, "gate": {}}}},
            }
            hub.publish("$iothub/twin/res/200/?$rid=get", json.dumps(twin).encode())
            for name, rid in (("status", 8), ("exec", 9), ("capture", 10)):
                hub.publish(f"$iothub/methods/POST/{name}/?$rid={rid}", b"{}")
            hub.wait(lambda seen: at(seen, "$iothub/methods/res/403/?$rid=10"))
            reporter.write()
            ((topic, report),) = telemetry.wait(len)
            patch = "$iothub/twin/PATCH/properties"
            wish = {"edgeform": {"ask": {"id": "w1", "operation": "report"}}, "$version": 5}
            hub.publish(f"{patch}/desired/?$version=5", json.dumps(wish).encode())
            telemetry.wait(lambda seen: len(seen) == 2)
            seen = hub.wait(lambda seen: at(seen, f"{patch}/reported/?$rid=ask"))
            # The same wish, as a connection later would bring it, is not carried out again.
            again = {"desired": wish, "reported": {"edgeform": {"ask": wish["edgeform"]["ask"]}}}
            hub.publish("$iothub/twin/res/200/?$rid=get", json.dumps(again).encode())
            hub.publish("$iothub/methods/POST/status/?$rid=11", b"{}")
            hub.wait(lambda seen: at(seen, "$iothub/methods/res/200/?$rid=11"))
            assert len(telemetry.messages) == 2
    finally:
        telemetry.close()
        hub.close()
    assert topic.endswith("$.ct=application%2Fjson&$.ce=utf-8&type=report")
    (told,) = at(seen, f"{patch}/reported/?$rid={report['seq']}")
    assert told["edgeform"]["seq"] == report["seq"]
    assert told["edgeform"]["pipelines"]["gone"] is None
    (status,) = at(seen, "$iothub/methods/res/200/?$rid=8")
    assert (status["generation"], status["update"]["state"]) == (42, "unknown")
    (refused,) = at(seen, "$iothub/methods/res/404/?$rid=9")
    assert "updates come as signed deployments" in refused["reason"]
    (answered,) = at(seen, f"{patch}/reported/?$rid=ask")
    assert answered["edgeform"]["ask"] == {"id": "w1", "operation": "report", "status": 200}


@needs_broker
def test_jobs_and_wishes_of_a_shadow_are_answered_and_a_rejected_shadow_is_counted(
    tmp_path, broker
):
    base, shadow = "$aws/things/cam-01/jobs", "$aws/things/cam-01/shadow/name/edgeform"
    cloud = broker.listen("$aws/#")
    metrics = Metrics("gate")

    def job(number, operation):
        execution = {
            "jobId": f"job-{number}",
            "versionNumber": number,
            "status": "IN_PROGRESS",
            "jobDocument": {"operation": operation},
        }
        cloud.publish(f"{base}/start-next/accepted", json.dumps({"execution": execution}).encode())
        (done,) = at(
            cloud.wait(lambda seen: at(seen, f"{base}/job-{number}/update")),
            f"{base}/job-{number}/update",
        )
        assert done["expectedVersion"] == number
        return done

    kept = []
    try:
        with a_device(
            tmp_path, broker, "aws_iot", metrics=metrics, commands=("report", "status", "capture")
        ) as reporter:
            cloud.wait(lambda seen: at(seen, f"{shadow}/get") and at(seen, f"{base}/start-next"))
            assert job(1, "status")["statusDetails"]["generation"] == "42"
            refused = job(2, "reboot")
            assert refused["status"] == "REJECTED"
            assert "signed deployments" in refused["statusDetails"]["reason"]
            assert job(3, "capture")["status"] == "FAILED", "nobody keeps captures here"
            reporter.place.desk.register("capture", lambda: kept.append(1) or {"kept": "a.efcap"})
            done = job(4, "capture")
            assert (done["status"], done["statusDetails"]) == ("SUCCEEDED", {"kept": "a.efcap"})
            cloud.publish(f"{base}/notify-next", b'{"execution":{"jobId":"x"}}')
            seen = cloud.wait(lambda seen: len(at(seen, f"{base}/start-next")) == 6)
            delta = {"state": {"ask": {"id": "w1", "operation": "report"}}}
            cloud.publish(f"{shadow}/update/delta", json.dumps(delta).encode())
            seen = cloud.wait(lambda seen: len(at(seen, f"{shadow}/update")) == 2)
            for bad in (b"", b"[]", b"{", b'{"execution":{"jobId":"a/+","versionNumber":1}}'):
                cloud.publish(f"{base}/start-next/accepted", bad)
            cloud.publish(f"{shadow}/update/rejected", b'{"code":400}')
            deadline = time.monotonic() + 10
            while metrics.reports.total(outcome="rejected") != 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        cloud.close()
    assert kept == [1]
    reported = [m["state"]["reported"] for m in at(seen, f"{shadow}/update")]
    assert {"ask": {"id": "w1", "operation": "report", "status": 200}} in reported
    assert [r["generation"] for r in reported if "generation" in r] == [42]
    assert metrics.asks.total(operation="unknown", status="404") == 1


@needs_broker
def test_a_plain_broker_may_ask_too(tmp_path, broker):
    plant = broker.listen("edgeform/#")
    base = "edgeform/v1/lab/cam-01/gate"
    try:
        with a_device(tmp_path, broker, "plain", commands=("report",)) as reporter:
            deadline = time.monotonic() + 20
            while not reporter.place.link(reporter.broker).is_connected:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(0.3)  # until the topic is subscribed
            plant.publish(f"{base}/ask", b'{"id":"1","operation":"status"}')
            (told,) = at(plant.wait(lambda seen: at(seen, f"{base}/answer")), f"{base}/answer")
    finally:
        plant.close()
    assert (told["id"], told["status"]) == ("1", 403)
    assert "does not allow status" in told["body"]["reason"]


def test_where_nothing_may_be_asked_no_topic_is_touched_that_a_policy_may_not_allow():
    place = Place("", "gate", "lab", "cam-01")
    aws = Profile(kind="aws_iot", name="cam-01", place=place)
    shadow = "$aws/things/cam-01/shadow/name/edgeform"
    assert conversation.topics(aws) == (f"{shadow}/update/rejected",)
    assert conversation.hello(aws) == ()
    assert conversation.topics(Profile(kind="plain", name="cam-01", place=place)) == ()


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["plain", "aws_iot", "azure_iot"]),
    number=st.integers(0, 5),
    tail=st.text(max_size=20),
    payload=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.dictionaries(
                st.sampled_from(
                    [
                        "state",
                        "desired",
                        "reported",
                        "edgeform",
                        "ask",
                        "id",
                        "operation",
                        "execution",
                        "jobId",
                        "versionNumber",
                        "jobDocument",
                        "pipelines",
                    ]
                ),
                inner,
                max_size=5,
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_nothing_that_a_broker_says_makes_more_than_an_answer(kind, number, tail, payload):
    place = Place("", "gate", "lab", "cam-01")
    profile = Profile(kind=kind, name="cam-01", place=place, may_be_asked=True)
    topics = conversation.topics(profile)
    topic = topics[number % len(topics)].replace("#", tail).replace("+", tail)
    found = conversation.heard(profile, topic, payload)
    if found.ask is not None:
        said = Desk().answer(found.ask, ("report", "status"), {"report": dict, "status": dict})
        for message in conversation.answer(profile, found.ask, said):
            assert not set("+#\0") & set(message.topic)
            json.loads(message.payload)


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
    to = f'destination="127.0.0.1:{broker.port}"'
    assert f'edgeform_egress_bytes_total{{pipeline="gate",{to},kind="report_plain"}}' in text


def test_reports_wait_on_disk_when_the_broker_never_was(tmp_path):
    where = Broker("127.0.0.1", 1, False, None, None, None, None, None)
    stage = Remote("plain", where, None, 60.0, 1_000_000)
    reporter = RemoteReporter(stage, Place(str(tmp_path), "gate", "lab", "cam-01"), 0)
    started = time.monotonic()
    reporter.write()
    assert time.monotonic() - started < 2.0, "writing never waits for the broker"
    reporter.close(0.1)
    reporter.place.links.close()
    assert Spool(str(tmp_path / "results/gate/spool-0"), 1_000_000).peek() is not None
