"""A site while it is watched: rates between looks, who is away since when, three forms of the same."""

import io
import json

import jsonschema
import pytest

from edgeform.domain.watched import DeviceSeen, DeviceUnknown, seen, unknown
from edgeform.report.choose import Form
from edgeform.report.watching import json_lines, lines, open_watching, watch_table
from edgeform.shipped import shipped

AT = 1_795_000_000.0


def an_answer(inferred=100, monotonic_s=50.0, **changes):
    pipeline = {
        "name": "gate",
        "phase": "ready",
        "generation": 7,
        "model_ref": "digits@1.0.0/f32",
        "frames": {"captured": inferred, "inferred": inferred, "dropped": 3, "failed": 1},
        "recent": {"infer_p50_ms": 3.14159, "infer_p95_ms": 4.5},
        "drift": {"feature": "mean", "psi": 0.31, "inputs": 500, "is_shifted": True},
        "monotonic_s": monotonic_s,
        "last_error": None,
    }
    base = {
        "generation": 7,
        "transaction": "",
        "needs_hands": "",
        "pipelines": [pipeline],
        "machine": {"temperature_c": 61.5, "load_1m": 0.5, "available_bytes": 1},
    }
    return base | changes


def looks():
    first = seen("cam-01", an_answer(), None, AT)
    return (
        seen("cam-01", an_answer(inferred=124, monotonic_s=52.0), first, AT + 2),
        seen("cam-02", an_answer(pipelines=[], needs_hands="disk"), None, AT + 2),
        unknown("cam-03", "timeout", "no answer within 15 s", None, AT - 60),
        seen(
            "cam-04",
            an_answer(
                pipelines=[{"name": "gate", "phase": "silent", "detail": "no answer on gate.sock"}],
                machine={},
                transaction="t7-ab",
            ),
            None,
            AT + 2,
        ),
    )


def test_the_rate_is_that_between_two_looks_at_one_process():
    first = seen("cam-01", an_answer(), None, AT)
    assert first.pipelines[0].fps is None
    second = seen("cam-01", an_answer(inferred=130, monotonic_s=60.0), first, AT + 10)
    assert second.pipelines[0].fps == pytest.approx(3.0)
    restarted = seen("cam-01", an_answer(inferred=2, monotonic_s=70.0), second, AT + 20)
    assert restarted.pipelines[0].fps is None
    rebooted = seen("cam-01", an_answer(inferred=200, monotonic_s=5.0), second, AT + 20)
    assert rebooted.pipelines[0].fps is None


def test_unknown_is_since_the_first_look_that_found_nobody():
    here = seen("cam-01", an_answer(), None, AT)
    gone = unknown("cam-01", "timeout", "", here, AT + 5)
    still = unknown("cam-01", "connect", "", gone, AT + 10)
    assert (gone.since, still.since, still.at) == (AT + 5, AT + 5, AT + 10)
    back = seen("cam-01", an_answer(), still, AT + 15)
    assert isinstance(back, DeviceSeen)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"pipelines": 3, "machine": [], "generation": "x"},
        {
            "pipelines": [
                None,
                7,
                {"name": 5, "frames": {"inferred": -1}, "recent": {"infer_p50_ms": "1"}},
            ]
        },
        {"needs_hands": ["\x1b[2J"], "transaction": {}},
    ],
)
def test_a_device_that_answers_nonsense_is_shown_and_breaks_nothing(answer):
    found = seen("cam-01", answer, None, AT)
    assert watch_table((found,))
    assert lines(found)
    assert json.loads(json_lines(found)[0])["device"] == "cam-01"


def test_control_characters_of_a_device_do_not_reach_the_terminal():
    pipeline = {"name": "gate", "phase": "silent", "detail": "\x1b[2Jgone\nand more"}
    found = seen("cam-01", an_answer(pipelines=[pipeline], needs_hands="\x1b]0;x"), None, AT)
    assert "\x1b" not in watch_table((found,))
    assert "\x1b" not in "".join(lines(found))


def test_the_table_and_the_lines_are_as_agreed(golden):
    golden("report/watch-table.txt", watch_table(looks()))
    golden("report/watch-plain.txt", "\n".join(x for look in looks() for x in lines(look)) + "\n")


def test_json_lines_follow_their_schema():
    validator = jsonschema.Draft202012Validator(
        json.loads(shipped("schemas", "watch.schema.json").read_text())
    )
    for look in looks():
        for text in json_lines(look):
            validator.validate(json.loads(text))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_given_back_and_other_streams_get_no_control_characters():
    terminal = Terminal()
    watching = open_watching(Form.TTY, terminal)
    watching.show(looks())
    watching.show(looks())
    watching.close()
    watching.close()
    assert "cam-03" in terminal.getvalue()
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h")
    for form in (Form.PLAIN, Form.JSONL):
        stream = io.StringIO()
        watching = open_watching(form, stream)
        watching.show(looks())
        watching.close()
        assert "\x1b" not in stream.getvalue()
        assert stream.getvalue().endswith("\n")


def test_a_device_that_is_away_is_one_line(golden):
    away = DeviceUnknown(device="cam-03", at=AT, since=AT - 60, reason="timeout", detail="")
    assert lines(away) == (
        "2026-11-18T11:06:40Z  cam-03  unknown since 2026-11-18T11:05:40Z: timeout",
    )
