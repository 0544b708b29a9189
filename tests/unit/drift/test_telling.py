"""What others are told of drift: metrics that promtool takes, messages that services read, a webhook that hangs."""

import json
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from edgeform.domain.observed import DriftFound
from edgeform.drift.compare import Compared, Word
from edgeform.drift.metrics import textfile
from edgeform.drift.notify import SHOWN, Form, deliver, is_news, message, webhook
from edgeform.emit.ci_files import drift_alerts
from edgeform.errors import UsageError

NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here (Debian package prometheus)"
)
MOVED = DriftFound(kind="file", path="trees/<x>", expected="a", actual="b")
FOUND = (
    Compared(device="cam-01", words=(Word.CLEAN,), generation=3),
    Compared(device="cam-02", words=(Word.DRIFT, Word.PENDING), generation=3, found=(MOVED,)),
    Compared(device="cam-03", words=(Word.UNKNOWN,), notes=("timeout: no <answer> & *more*",)),
    Compared(device="cam-04", words=(Word.HELD,), generation=2, notes=("failed before",)),
    Compared(device="cam-05", words=(Word.DRIFT,), generation=2, needs_hands=True),
)


def test_every_device_has_a_line_for_every_word_so_that_an_alert_can_resolve():
    text = textfile("lab", FOUND, finished_s=1_700_000_000.4)
    assert 'edgeform_device_state{site="lab",device="cam-01",state="drift"} 0\n' in text
    assert 'edgeform_device_state{site="lab",device="cam-02",state="drift"} 1\n' in text
    assert 'edgeform_device_state{site="lab",device="cam-03",state="clean"} 0\n' in text
    assert 'edgeform_device_state{site="lab",device="cam-05",state="needs_hands"} 1\n' in text
    assert 'last_run_timestamp_seconds{site="lab"} 1700000000\n' in text


@NEEDS_PROMTOOL
def test_promtool_takes_the_metrics():
    odd = Compared(device='x"\\\n', words=(Word.CLEAN,))
    done = subprocess.run(
        ("promtool", "check", "metrics"),
        input=textfile('a"b\n', (*FOUND, odd), finished_s=1.0, untold=2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@NEEDS_PROMTOOL
def test_promtool_takes_the_rules(tmp_path):
    (tmp_path / "alerts.yml").write_text(drift_alerts())
    done = subprocess.run(
        ("promtool", "check", "rules", "alerts.yml"),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 rules found" in done.stdout


@NEEDS_PROMTOOL
def test_the_alerts_fire_on_what_the_textfile_says_and_on_nothing_else(tmp_path):
    """promtool runs the shipped rules over the shipped metrics, for 48 hours in which nobody looks again."""
    (tmp_path / "alerts.yml").write_text(drift_alerts())
    series = [
        {"series": line.rpartition(" ")[0], "values": f"{line.rpartition(' ')[2]}x600"}
        for line in textfile("lab", FOUND, finished_s=0, untold=1).splitlines()
        if not line.startswith("#")
    ]

    def firing(*devices):
        return [{"exp_labels": {"site": "lab", "device": d, **more}} for d, more in devices]

    def at(hours, name, devices, severity="warning", state=None):
        labels = [(d, {"severity": severity, "state": state}) for d in devices]
        expected = firing(*labels)
        return {"eval_time": f"{hours}h", "alertname": name, "exp_alerts": expected}

    rules = {r["alert"]: r for g in yaml.safe_load(drift_alerts())["groups"] for r in g["rules"]}
    untold = {"exp_labels": {"severity": "warning", "site": "lab"}}
    untold["exp_annotations"] = {
        "summary": "A webhook did not take what was found on lab",
        "description": rules["EdgeformDriftNotTold"]["annotations"]["description"],
    }
    cases = [
        at(1, "EdgeformDrift", ["cam-02", "cam-05"], state="drift"),
        at(1, "EdgeformHeld", ["cam-04"], state="held"),
        at(1, "EdgeformNeedsHands", ["cam-05"], "critical", "needs_hands"),
        at(1, "EdgeformUnknown", []),
        at(40, "EdgeformUnknown", ["cam-03"], state="unknown"),
        {"eval_time": "1h", "alertname": "EdgeformDriftNotTold", "exp_alerts": [untold]},
        {"eval_time": "1h", "alertname": "EdgeformDriftNotLookedFor", "exp_alerts": []},
    ]
    for case in cases:
        for alert in case["exp_alerts"]:
            if "exp_annotations" in alert:
                continue
            found = rules[case["alertname"]]["annotations"]
            labels = alert["exp_labels"]
            alert["exp_annotations"] = {
                name: text.replace("{{ $labels.device }}", labels["device"]).replace(
                    "{{ $labels.site }}", labels["site"]
                )
                for name, text in found.items()
            }
    late = {"exp_labels": {"severity": "warning", "site": "lab"}}
    late["exp_annotations"] = {
        "summary": "Nobody has looked for drift on lab since 1d 16h 0m 0s",
        "description": "systemctl list-timers 'edgeform-drift-*'",
    }
    cases.append(
        {"eval_time": "40h", "alertname": "EdgeformDriftNotLookedFor", "exp_alerts": [late]}
    )
    tests = [{"interval": "5m", "input_series": series, "alert_rule_test": cases}]
    document = {"rule_files": ["alerts.yml"], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        ("promtool", "test", "rules", "test.yml"),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_somebody_must_know_is_news():
    assert not is_news(FOUND[:1])
    assert not is_news((Compared(device="x", words=(Word.PENDING,)),))
    for one in FOUND[1:]:
        assert is_news((one,))


@pytest.mark.parametrize("form", Form)
def test_a_message_in_each_services_form(form, golden):
    text = json.dumps(message(form, "lab", FOUND), indent=1, sort_keys=True) + "\n"
    golden(f"drift/message.{form}.json", text)


def test_a_devices_words_are_no_markup_for_anybody():
    slack = message(Form.SLACK, "lab", FOUND)["text"]
    assert "<answer>" not in slack
    assert "&lt;answer&gt; &amp;" in slack
    (card,) = message(Form.TEAMS, "lab", FOUND)["attachments"]
    said = " ".join(block["text"] for block in card["content"]["body"])
    assert "\\*more\\*" in said


def test_a_fleet_that_lost_its_network_is_one_short_message():
    gone = tuple(
        Compared(device=f"d{n}", words=(Word.UNKNOWN,), notes=("timeout " * 100,))
        for n in range(500)
    )
    text = message(Form.SLACK, "lab", gone)["text"]
    assert f"and {500 - SHOWN} more" in text
    assert len(text) < 10_000


class Service:
    """A webhook's other side, on loopback; `behaviour` has the connection after the request was read."""

    def __init__(self, behaviour):
        self.bodies = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                service.bodies.append(json.loads(self.rfile.read(length)))
                behaviour(self)

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def hook(self):
        return webhook("slack", f"http://127.0.0.1:{self.server.server_port}/canary-secret-path")


def answer(code, location=None):
    def behaviour(handler):
        handler.send_response(code)
        if location:
            handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behaviour


def test_a_message_arrives_as_it_was_made():
    service = Service(answer(200))
    body = message(Form.SLACK, "lab", FOUND)
    assert deliver(service.hook, body).failure == ""
    assert service.bodies == [body]


@pytest.mark.parametrize("code", [302, 400, 404, 410, 500])
def test_a_refusal_is_said_and_a_redirect_is_not_followed(code):
    service = Service(answer(code, "http://127.0.0.1:1/"))
    assert deliver(service.hook, {}).failure == f"answer {code}"


def hang(handler):
    handler.server.stop = threading.Event()
    handler.server.stop.wait(20)


def dribble(handler):
    """A byte now and then: no timeout between two bytes ever ends this."""
    until = time.monotonic() + 20
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while time.monotonic() < until:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize("behaviour", [hang, dribble])
def test_a_webhook_that_never_ends_keeps_nobody(behaviour):
    service = Service(behaviour)
    began = time.monotonic()
    delivery = deliver(service.hook, {}, timeout_s=0.5)
    assert time.monotonic() - began < 5
    assert delivery.failure
    assert "canary-secret-path" not in repr((delivery, service.hook))


def test_a_host_that_is_not_there_is_said_without_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hook = webhook("json", f"http://127.0.0.1:{free.getsockname()[1]}/canary-secret-path")
    delivery = deliver(hook, {}, timeout_s=5)
    assert "not delivered" in delivery.failure
    assert "canary" not in repr(delivery)


@pytest.mark.parametrize("address", ["http://hooks.example.net/x", "ftp://a/b", "", "https:///x"])
def test_an_address_that_would_be_sent_in_the_clear_is_refused(address):
    with pytest.raises(UsageError) as failed:
        webhook("slack", address)
    assert "/x" not in failed.value.rendered()
