"""`edgeform drift` beside looking: sampling, metrics, messages, schedules, what a device kept by itself."""

import datetime as dt
import http.server
import json
import subprocess
import threading

import jsonschema
import pytest

from edgeform.cli.asking import Missed
from edgeform.cli.drifting import _with_checks, sampled
from edgeform.drift import notify
from edgeform.drift.compare import Compared, Word
from edgeform.shipped import shipped
from edgeform_wire.receipt import CheckResult

NAMES = tuple(f"cam-{n:03}" for n in range(200))
DAY = dt.date(2026, 3, 2)


@pytest.mark.parametrize("percent", [1, 5, 10, 33, 50, 100])
def test_every_device_has_its_turn_and_a_day_asks_about_its_share(percent):
    turns = round(100 / percent)
    days = [sampled(NAMES, percent, DAY + dt.timedelta(n)) for n in range(turns)]
    assert frozenset().union(*days) == set(NAMES)
    assert sum(len(day) for day in days) == len(NAMES)
    assert sampled(NAMES, percent, DAY) == sampled(reversed(NAMES), percent, DAY)


def test_no_share_is_no_device():
    assert sampled(NAMES, 0, DAY) == frozenset()


def checked(verdict):
    return (
        CheckResult(name="golden", pipeline="gate", verdict=verdict, detail="2 of 8", measured={}),
    )


def test_a_golden_that_fails_is_drift_and_one_that_could_not_be_asked_is_unknown():
    clean = Compared(device="cam-01", words=(Word.CLEAN,), generation=3)
    waits = Compared(device="cam-01", words=(Word.PENDING,), generation=3)
    assert _with_checks(clean, None) == _with_checks(clean, checked("pass")) == clean
    assert _with_checks(clean, checked("inconclusive")) == clean
    failed = _with_checks(waits, checked("fail"))
    assert failed.words == (Word.DRIFT, Word.PENDING)
    assert [(d.kind, d.path, d.actual) for d in failed.found] == [
        ("check", "gate/golden", "fail: 2 of 8")
    ]
    lost = Missed(device="cam-01", reason="timeout", detail="no answer", hint="", exit_code=9)
    assert _with_checks(clean, lost).words == (Word.UNKNOWN,)
    assert _with_checks(clean, lost).notes == ("checks: timeout: no answer",)


def test_metrics_are_written_as_a_whole_and_for_others_to_read(here, tmp_path):
    file = tmp_path / "edgeform.prom"
    said = here.run("drift", "--textfile", str(file))
    assert said.code == 9, said.err
    assert 'device="away",state="unknown"} 1' in file.read_text()
    assert oct(file.stat().st_mode & 0o777) == "0o644"
    assert [p.name for p in tmp_path.glob("*edgeform.prom*")] == ["edgeform.prom"]
    assert here.run("drift", "--textfile", str(tmp_path / "edgeform.txt")).code == 64


@pytest.fixture
def posted(monkeypatch):
    """A webhook whose address is in the environment, and what it was sent."""
    bodies = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/canary-path")
    yield bodies
    server.shutdown()
    server.server_close()


def test_what_was_found_is_told_and_a_clean_fleet_is_silent(here, posted):
    assert here.run("drift", "here-1", "--webhook", "json=env/HOOK").code == 0
    assert posted == []
    said = here.run("drift", "--webhook", "json=env/HOOK", "--webhook", "slack=env/HOOK")
    assert said.code == 9, said.err
    assert [d["device"] for d in posted[0]["devices"]] == ["away"]
    schema = json.loads(shipped("schemas", "drift.schema.json").read_text())
    jsonschema.validate(posted[0], schema)
    lines = here.run("drift", "--json").objects
    assert [found["device"] for found in lines] == ["here-1", "away"]
    for found in lines:
        jsonschema.validate(found, schema)
    assert "away: unknown" in posted[1]["text"]


def test_a_webhook_that_does_not_answer_is_said_and_changes_no_exit_code(
    here, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/canary-path")
    file = tmp_path / "edgeform.prom"
    said = here.run("drift", "--webhook", "slack=env/HOOK", "--textfile", str(file))
    assert said.code == here.run("drift").code == 9
    assert 'edgeform_drift_untold_webhooks{site="lab"} 1\n' in file.read_text()
    assert "webhook slack on 127.0.0.1: not delivered" in said.err
    assert "canary-path" not in said.out + said.err
    assert "away" in said.out, "the findings are there all the same"


@pytest.mark.parametrize("behaviour", ["hangs", "redirects", "fails"])
def test_whatever_a_webhook_does_the_findings_stand_with_their_code(here, monkeypatch, behaviour):
    monkeypatch.setattr(notify.deliver, "__kwdefaults__", {"timeout_s": 0.7})
    released = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            if behaviour == "hangs":
                released.wait(30)
                return
            self.send_response(302 if behaviour == "redirects" else 500)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/canary-path")
    said = here.run("drift", "--webhook", "teams=env/HOOK", "--webhook", "json=env/HOOK")
    released.set()
    server.shutdown()
    server.server_close()
    assert said.code == 9, said.err
    assert "away" in said.out
    why = {"hangs": "no answer within 1 s", "redirects": "answer 302", "fails": "answer 500"}[
        behaviour
    ]
    for form in ("teams", "json"):
        assert f"webhook {form} on 127.0.0.1: {why}; nobody was told there" in said.err
    assert "canary-path" not in said.out + said.err


@pytest.mark.parametrize("wanted", ["slack", "irc=env/HOOK", "slack=https://x/y", "slack="])
def test_a_webhook_is_named_by_reference_only(here, wanted):
    assert here.run("drift", "--webhook", wanted).code == 64


def test_a_schedule_runs_the_same_command_and_holds_no_secret(here, tmp_path):
    said = here.run(
        "drift", "schedule", "--systemd", "--out", str(tmp_path / "units"), "--at", "03:30",
        "--webhook", "slack=env/HOOK", "--goldens", "5", "-l", "plant=lab",
    )  # fmt: skip
    assert said.code == 0, said.err
    service = (tmp_path / "units/edgeform-drift-site.service").read_text()
    line = next(x for x in service.splitlines() if x.startswith("ExecStart="))
    assert line.endswith("-l plant=lab --goldens 5 --webhook slack=env/HOOK")
    assert str(here.site) in line
    timer = (tmp_path / "units/edgeform-drift-site.timer").read_text()
    assert "03:30:00" in timer


def test_a_schedule_must_say_who_does_it(here):
    assert here.run("drift", "schedule").code == 64
    assert here.run("drift", "--systemd").code == 64


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_the_nightly_job_alone(here, service):
    import yaml

    said = here.run("drift", "schedule", "--ci", service)
    assert said.code == 0
    (job,) = yaml.safe_load(said.out).values()
    assert "edgeform drift" in json.dumps(job)


def test_alert_rules_are_printed(here):
    assert "EdgeformDrift" in here.run("drift", "alerts").out


def test_an_isolated_device_checks_itself_and_keeps_what_it_found(here):
    assert here.run("enroll", "here-1").code == 0
    tool = here.prefix() / "bin/edgeform-device"
    for _ in range(2):
        done = subprocess.run(
            (str(tool), "--prefix", str(here.prefix()), "drift", "--keep"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["kept"] == 1, "the same twice is one entry"
    said = here.run("drift", "here-1", "--on-device", "--json")
    assert said.code == 0, said.err
    (entry,) = said.objects
    assert (entry["device"], entry["times"], entry["drift"]) == ("here-1", 2, [])
    assert "as it was confirmed" in here.run("drift", "here-1", "--on-device").out


def test_the_units_of_a_device_call_the_devices_own_tool(here):
    said = here.run("drift", "schedule", "--systemd", "--on-device")
    assert "ExecStart=/var/lib/edgeform/bin/edgeform-device drift --keep\n" in said.out
    other = here.run("drift", "schedule", "--systemd", "--on-device", "/opt/e")
    assert "ExecStart=/opt/e/bin/edgeform-device --prefix /opt/e drift --keep\n" in other.out
