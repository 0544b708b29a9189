"""Actions that reach other machines: real servers, and what happens when they are slow, wrong or gone."""

import http.server
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.broker import a_broker, free_port, needs_broker
from support.runtime import SCENES, Prefix, a_pipeline_file, running, some_stages

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.frames import Frame, Inferred
from edgeform_runtime.pipeline import stages_of
from edgeform_runtime.pipeline.action import Delivery, Trigger, Webhook
from edgeform_runtime.pipeline.broker import Broker
from edgeform_runtime.secrets import Secrets
from edgeform_runtime.stages.action.gate import Gate
from edgeform_runtime.stages.action.lane import Lane
from edgeform_runtime.stages.action.webhook import WebhookSink
from edgeform_runtime.stages.contract import Place, Refused
from edgeform_runtime.stages.mqtt.link import Link
from edgeform_wire.rules import VOCABULARIES

SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()
ANOMALY = VOCABULARIES["anomaly"]


def a_result(sequence=1):
    frame = Frame(sequence=sequence, name=f"f{sequence}", content=b"", captured_at=1.5, captured=0)
    result = {"kind": "anomaly", "score": 2.0, "is_anomaly": True}
    return Inferred(frame=frame, result=result, model_ref="m@1/f32", generation=3, seconds={})


def gate(**changes):
    fields = {"when": "is_anomaly", "for_s": 0.0, "cooldown_s": 0.0}
    return Gate(Trigger(**(fields | changes)), ANOMALY)


def opened(found, story):
    """The seconds at which a gate opened; the story is (second, whether the rule holds)."""
    return [now for now, holds in story if found.opens({"is_anomaly": holds, "score": 1.0}, now)]


def test_a_gate_without_a_rule_opens_always():
    assert opened(gate(when=None), [(0, False), (1, True)]) == [0, 1]


def test_what_holds_only_for_a_moment_is_not_acted_on():
    story = [(0, True), (1, True), (2, False), (3, True), (4, True), (5, True), (6, True)]
    assert opened(gate(for_s=2), story) == [5, 6]


def test_after_acting_it_is_quiet_for_a_while():
    story = [(second, True) for second in range(10)]
    assert opened(gate(cooldown_s=4), story) == [0, 4, 8]
    assert opened(gate(for_s=3, cooldown_s=4), story) == [3, 7]


@settings(max_examples=60, deadline=None)
@given(
    story=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40),
    for_s=st.integers(0, 6),
    cooldown_s=st.integers(0, 9),
)
def test_a_gate_never_breaks_its_times(story, for_s, cooldown_s):
    now, told = 0, []
    for step, holds in story:
        now += step
        told.append((now, holds))
    times = opened(gate(for_s=for_s, cooldown_s=cooldown_s), told)
    assert all(b - a >= cooldown_s for a, b in itertools.pairwise(times))
    for acted in times:
        assert all(holds for second, holds in told if acted - for_s < second < acted)


def test_a_rule_that_does_not_fit_the_results_is_refused_with_its_place():
    stages = some_stages(action=[{"kind": "store", "when": "count(clas == 'x') > 1"}])
    with pytest.raises(PipelineInvalid, match=r"stages.action\[0\].when: 'clas' is no field") as e:
        stages_of(stages)
    assert e.value.summary.splitlines()[-1] == "          ^"


@contextmanager
def a_server(*statuses, hangs=False):
    """(port, requests): answers with the statuses in turn, the last one again and again."""
    requests, left = [], list(statuses)
    release = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, dict(self.headers), json.loads(body)))
            if hangs:
                release.wait(30)
                return
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], requests
    finally:
        release.set()
        server.shutdown()
        server.server_close()


def a_webhook(port, **changes):
    fields = {
        "url": f"http://127.0.0.1:{port}/alert?line=1",
        "header": "X-Token",
        "secret": None,
        "ca": None,
        "delivery": Delivery(timeout_s=1.0, retries=2, queue=4),
        "trigger": Trigger(when=None, for_s=0, cooldown_s=0),
    }
    return Webhook(**(fields | changes))


@contextmanager
def a_lane(sink, **changes) -> Iterator[tuple[Lane, list]]:
    outcomes = []
    fields = {"timeout_s": 1.0, "retries": 2, "queue": 4}
    lane = Lane(
        sink,
        Delivery(**(fields | changes)),
        count=lambda _, outcome: outcomes.append(outcome),
        on_error=lambda sentence: None,
        pause_s=0.01,
    )
    try:
        yield lane, outcomes
    finally:
        lane.close(5.0)


def until(claim, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_webhook_carries_the_result_and_the_secret(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    place = Place("", "gate", "lab", "cam-01", Secrets(("token",), str(tmp_path)))
    with a_server(204) as (port, requests):
        WebhookSink(a_webhook(port, secret="token"), place).write(a_result())
    ((path, headers, body),) = requests
    assert (path, headers["X-Token"]) == ("/alert?line=1", "s3cret")
    assert body == {
        "schema": "edgeform.result/1",
        "site": "lab",
        "device": "cam-01",
        "pipeline": "gate",
        "generation": 3,
        "model": "m@1/f32",
        "frame": "f1",
        "sequence": 1,
        "captured_at": 1.5,
        "result": {"kind": "anomaly", "score": 2.0, "is_anomaly": True},
    }


def test_a_busy_server_is_tried_again_and_a_refusal_is_not():
    with a_server(503, 429, 200) as (port, requests):
        with a_lane(WebhookSink(a_webhook(port), Place("", "gate"))) as (lane, outcomes):
            lane.put(a_result())
            until(lambda: "ok" in outcomes)
        assert outcomes == ["retried", "retried", "ok"]
        assert len(requests) == 3
    with a_server(403) as (port, requests):
        sink = WebhookSink(a_webhook(port), Place("", "gate"))
        with pytest.raises(Refused, match="403"):
            sink.write(a_result())
        with a_lane(sink) as (lane, outcomes):
            lane.put(a_result())
            until(lambda: "failed" in outcomes)
        assert (outcomes, len(requests)) == (["failed"], 2)


def test_a_server_that_is_gone_costs_the_attempts_and_no_more():
    with a_lane(WebhookSink(a_webhook(free_port()), Place("", "gate"))) as (lane, outcomes):
        lane.put(a_result())
        until(lambda: "failed" in outcomes)
    assert outcomes == ["retried", "retried", "failed"]


def test_a_lane_that_hangs_drops_the_oldest_and_never_holds_anybody_up():
    release, entered = threading.Event(), threading.Event()

    class Hanging:
        kind = "webhook"

        def write(self, inferred):
            entered.set()
            release.wait(30)

        def idle(self):
            pass

        def close(self):
            pass

    with a_lane(Hanging(), queue=3) as (lane, outcomes):
        lane.put(a_result(0))
        assert entered.wait(10)
        started = time.monotonic()
        for number in range(1, 11):
            lane.put(a_result(number))
        assert time.monotonic() - started < 1.0
        assert outcomes == ["dropped"] * 7
        release.set()
        until(lambda: outcomes.count("ok") == 4)


@pytest.fixture
def prefix(tmp_path):
    found = Prefix(tmp_path)
    found.put_model()
    return found


def test_a_webhook_that_never_answers_does_not_stop_inference(prefix):
    with a_server(200, hangs=True) as (port, requests):
        hook = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/", "queue": 1, "timeout_s": 20}
        path = prefix.put_pipeline(a_pipeline_file(stages=some_stages(action=[hook])))
        with running(prefix, path) as daemon:
            for _ in range(6):
                assert daemon.http().post("/v1/frames", SCENE)[0] == 202
            daemon.wait_for(lambda s: s["frames"]["inferred"] == 6)
            text = daemon.http().get("/metrics")[1].decode()
            assert (
                'edgeform_actions_total{pipeline="gate",kind="webhook",outcome="dropped"}' in text
            )
            assert daemon.stop() == 0
        assert len(requests) == 1


def test_only_what_the_rule_says_reaches_the_server(prefix):
    other = next(p for p in sorted(SCENES.glob("*.png")) if "digit-8" not in p.name).read_bytes()
    with a_server(200) as (port, requests):
        url = f"http://127.0.0.1:{port}/"
        hook = {"kind": "webhook", "url": url, "when": "class == '8' and score > 0.5"}
        path = prefix.put_pipeline(a_pipeline_file(stages=some_stages(action=[hook])))
        with running(prefix, path) as daemon:
            for content in (other, SCENE, other):
                daemon.http().post("/v1/frames", content)
            daemon.wait_for(lambda s: s["frames"]["inferred"] == 3)
            until(lambda: len(requests) == 1)
            assert daemon.stop() == 0
    assert [body["result"]["classes"][0]["label"] for *_, body in requests] == ["8"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with a_broker(tmp_path_factory.mktemp("broker")) as found:
        yield found


@needs_broker
def test_results_reach_the_broker_with_a_client_certificate(prefix, broker):
    secrets = prefix.path / "secrets"
    secrets.mkdir()
    for name in ("ca.pem", "device.pem", "device.key"):
        (secrets / name).write_bytes((broker.authority.folder / name).read_bytes())
    names = {"ca": "ca.pem", "certificate": "device.pem", "key": "device.key"}
    where = {"host": "localhost", "port": broker.tls_port, "tls": True, **names}
    action = [{"kind": "mqtt", "topic": "lab/cam-01/digits", "broker": where}]
    file = a_pipeline_file(stages=some_stages(action=action), secrets=tuple(names.values()))
    listener = broker.listen("lab/#")
    try:
        with running(prefix, prefix.put_pipeline(file)) as daemon:
            daemon.http().post("/v1/frames", SCENE)
            ((topic, message),) = listener.wait(len)
            assert daemon.stop() == 0
    finally:
        listener.close()
    assert topic == "lab/cam-01/digits"
    assert message["result"]["classes"][0]["label"] == "8"


@needs_broker
def test_a_broker_of_another_authority_gets_nothing(broker):
    where = Broker("localhost", broker.tls_port, True, None, None, None, None, None)
    link = Link(where, Secrets((), ""), "stranger")
    try:
        with pytest.raises(OSError, match="no broker at localhost"):
            link.publish("a", b"{}", qos=1, retain=False, timeout_s=1.0)
    finally:
        link.close()
