import io
import json
import os
import pty
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from edgeform import events
from edgeform.plan import Line, Meaning
from edgeform.report import Form, choose, open_talk, paint
from edgeform.report.choose import may_paint
from edgeform.report.sentences import sentence

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
COMMITTED = events.DeviceCommitted(
    device="cam-01", from_generation=41, to_generation=42, seconds=6.1
)


def talk(form, *said):
    stream = io.StringIO()
    renderer = open_talk(form, stream, lambda: NOON)
    for event in said:
        renderer(event)
    renderer.close()
    return stream.getvalue()


def test_plain_is_one_line_per_event_with_its_time():
    assert talk(Form.PLAIN, COMMITTED) == (
        "2026-03-01T12:00:00Z  cam-01: committed generation 42 after 41 in 6.1 s\n"
    )


def test_jsonl_is_one_object_per_event_with_its_time():
    (line,) = talk(Form.JSONL, COMMITTED).splitlines()
    assert json.loads(line) == {
        "time": "2026-03-01T12:00:00Z",
        "event": "device_committed",
        "device": "cam-01",
        "from_generation": 41,
        "to_generation": 42,
        "seconds": 6.1,
    }


def test_plain_never_wraps_and_never_shows_control_characters():
    nasty = "a\x1b[2J\nb\r" + "x" * 500 + "\u202e"
    failed = events.DeviceFailed(device="cam\x07", outcome="dark", detail=nasty, hint="look")
    text = talk(Form.PLAIN, failed)
    assert text.count("\n") == 1
    assert not any(ord(ch) < 32 for ch in text[:-1])
    assert r"\x1b[2J b" in text
    assert "\u202e" not in text


def test_a_transfer_is_told_by_quarters_and_each_device_has_its_own():
    said = [
        events.TransferProgress(device=device, sent_bytes=n * 1000, total_bytes=100_000)
        for n in range(101)
        for device in ("a", "b")
    ]
    lines = talk(Form.PLAIN, *said).splitlines()
    assert len(lines) == 2 * 5
    assert lines[-1].endswith("b: sent 100.0 kB of 100.0 kB")


def test_an_empty_transfer_is_told_once():
    said = [events.TransferProgress(device="a", sent_bytes=0, total_bytes=0)] * 3
    assert len(talk(Form.PLAIN, *said).splitlines()) == 1


@pytest.mark.parametrize("form", list(Form))
def test_many_threads_never_mix_their_lines(form):
    stream = io.StringIO()
    renderer = open_talk(form, stream, lambda: NOON)

    def say(n):
        for i in range(50):
            renderer(events.Note(device=f"cam-{n}", text=f"line {i} end"))

    threads = [threading.Thread(target=say, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    renderer.close()
    whole = [line for line in stream.getvalue().splitlines() if "line" in line]
    assert len(whole) == 400
    assert all(line.count(" end") == 1 for line in whole)


@pytest.mark.parametrize(
    ("asked", "environment", "terminal", "form"),
    [
        (None, {"TERM": "xterm"}, True, Form.TTY),
        (None, {"TERM": "xterm"}, False, Form.PLAIN),
        (None, {"TERM": "dumb"}, True, Form.PLAIN),
        (None, {"NO_COLOR": "1"}, True, Form.PLAIN),
        (None, {"NO_COLOR": ""}, True, Form.TTY),
        (None, {"CI": "true"}, True, Form.PLAIN),
        (Form.JSONL, {"TERM": "xterm"}, True, Form.JSONL),
        (Form.TTY, {"CI": "true"}, False, Form.TTY),
    ],
)
def test_the_form_follows_the_surroundings_unless_it_is_asked_for(
    asked, environment, terminal, form
):
    assert choose(asked, environment, is_terminal=terminal) is form


def test_paint_adds_colour_only_and_only_where_wanted():
    lines = (Line(text="+ model", meaning=Meaning.ADD), Line(text=""))
    assert paint(lines, colour=False) == "+ model\n\n"
    assert paint(lines, colour=True) == "\x1b[32m+ model\x1b[0m\n\n"
    assert not may_paint({"NO_COLOR": "1"}, is_terminal=True)


def test_every_event_has_a_sentence_of_one_line():
    for event in (
        events.SiteLoaded(site="lab", devices=1, files=2, seconds=0.1),
        events.ObservationDone(device="a", reached=False, detail="no route", seconds=3.0),
        events.Published(devices=2, timestamp_version=3),
        events.StepStarted(device="a", step="upload"),
        events.StepFinished(device="a", step="upload", detail="", seconds=1.0),
        events.DriverStep(
            device="a", operation="apt", changed=False, succeeded=False, detail="E: x"
        ),
        events.CheckFinished(
            device="a", pipeline="p", check="golden", verdict="fail", detail="3/20"
        ),
        COMMITTED,
        events.DeviceRolledBack(device="a", from_generation=2, to_generation=1, reason="golden"),
        events.DeviceUnchanged(device="a", generation=1),
        events.BuildNote(variant="digits/int8", text="clean: starting"),
        events.VariantFinished(variant="digits/int8", outcome="failed", detail="x", seconds=1.0),
        events.Note(device="", text="hello"),
    ):
        text = str(sentence(event))
        assert text
        assert "\n" not in text


def test_rich_is_only_imported_for_a_terminal():
    code = (
        "import sys, io, datetime; from edgeform.report import *; from edgeform import events;"
        "t = open_talk(Form.PLAIN, io.StringIO(), lambda: datetime.datetime.now(datetime.timezone.utc));"
        "t(events.Note(device='', text='x')); print('rich' in sys.modules)"
    )
    ran = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_on_a_real_terminal_rows_come_and_go_and_outcomes_stay(tmp_path):
    main, side = pty.openpty()
    code = (
        "import sys, datetime; from edgeform.report import *; from edgeform import events as e;"
        "t = open_talk(Form.TTY, sys.stderr, None);"
        "t(e.StepStarted(device='cam-01', step='upload'));"
        "t(e.TransferProgress(device='cam-01', sent_bytes=5, total_bytes=10));"
        "t(e.DeviceCommitted(device='cam-01', from_generation=1, to_generation=2, seconds=1.0));"
        "t.close(); t.close()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", code), stderr=side, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(side)
        text = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # Linux answers EIO once the other side is closed
                break
            if not part:
                break
            text += part
        assert process.wait() == 0
    os.close(main)
    assert b"committed generation 2 after 1" in text
    assert b"\x1b[?25h" in text, "the cursor is given back"
