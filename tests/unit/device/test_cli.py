"""The tool as devices run it: a .pyz in a process of its own, on every Python that stands here."""

import json
import os
import subprocess
import sys

import pytest
from support.device import ask, blob_frame, old_interpreters, sampled_interpreters

from edgeform_device import cli
from edgeform_wire import digest as digests

BLOB = b"bytes of a blob" * 1000
DIGEST = digests.of_bytes(BLOB)


@pytest.fixture(params=sampled_interpreters())
def python(request):
    return request.param


@pytest.fixture
def run(python, tool, tmp_path):
    """The tool on one Python, with a prefix of its own."""
    command = (str(python), "-I", "-S", "-B", str(tool), "--prefix", str(tmp_path / "p"))

    def run(*arguments, stdin=b"", python=python):
        return ask(command, *arguments, stdin=stdin)

    return run


@pytest.fixture
def wish(publisher):
    return json.dumps(
        {
            "site": "lab",
            "device": "cam-1",
            "root": publisher.root.decode(),
            "services": "supervisor",
            "user": "root",
        }
    ).encode()


def test_a_device_is_enrolled_observed_and_filled(run, wish, tmp_path):
    enrolled = run("enrol", stdin=wish)
    assert enrolled.exit_code == 0, enrolled
    assert enrolled.said["code"]
    missing = run("missing", stdin=json.dumps({"blobs": [DIGEST]}).encode())
    assert missing.said["missing"] == [{"digest": DIGEST, "have_bytes": 0}]
    taken = run("ingest", stdin=blob_frame(BLOB))
    assert taken.said["received"] == [{"blob": DIGEST, "have_bytes": len(BLOB), "complete": True}]
    assert run("missing", stdin=json.dumps({"blobs": [DIGEST]}).encode()).said["missing"] == []
    put = run("secret", "put", "token", "--hmac", "h", stdin=b"hunter2")
    assert put.said["secret"]["planned"] == "h"
    state = run("state", stdin=json.dumps({"groups": ["root"]}).encode()).said
    assert state["ok"] is True
    assert state["facts"]["groups"] == []
    assert state["generation"]["committed"] == 0
    assert state["trust"]["profile"] == "development"
    assert state["trust"]["root_digest"] == enrolled.said["root_digest"]
    assert state["receipts"] == {"last_seq": 0}
    assert run("receipts").said["receipts"] == []
    assert run("gc", "--dry-run").said["removed"] == []
    assert run("recover", "--dry-run").exit_code == 0
    assert run("plan").said["refusals"][0]["code"] == "not_trusted"


def test_the_installed_command_is_the_same_tool_and_uses_its_compiled_code(
    run, wish, tmp_path, python
):
    run("enrol", stdin=wish)
    script = tmp_path / "p/bin/edgeform-device"
    (compiled,) = (tmp_path / "p/tool").glob("*.pyz.cpython-*")
    path = f"{python.parent}:{os.environ['PATH']}"

    def version():
        done = subprocess.run(
            (script, "version"), env={"PATH": path}, capture_output=True, check=True
        )
        return json.loads(done.stdout)

    said = version()
    (own,) = (tmp_path / "p/tool").glob("*.pyz")
    assert said["digest"] == digests.of_file(str(own)) == "sha256:" + own.stem
    content = compiled.read_bytes()
    compiled.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert version() == said
    compiled.unlink()
    assert version() == said


def test_the_selftest_passes(run):
    answer = run("selftest")
    assert answer.exit_code == 0, answer
    assert {check["name"] for check in answer.said["checks"]} >= {
        "python",
        "modules",
        "disk",
        "signatures",
    }


@pytest.mark.parametrize("old", old_interpreters(), ids=lambda p: p.parents[1].name)
def test_an_old_python_answers_with_a_sentence(old, tool):
    answer = ask((str(old), str(tool)), "state")
    assert answer.exit_code == 3
    assert answer.said["error"]["code"] == "python"


# On the Python that runs the tests


@pytest.fixture
def here(tool, tmp_path):
    command = (sys.executable, "-I", "-S", "-B", str(tool), "--prefix", str(tmp_path / "p"))
    return lambda *arguments, stdin=b"": ask(command, *arguments, stdin=stdin)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "exit_code"),
    [
        ((), b"", "usage", 64),
        (("explode",), b"", "usage", 64),
        (("pull",), b"", "usage", 64),
        (("capture",), b"", "usage", 64),
        (("--prefix",), b"", "usage", 64),
        (("state", "--deep"), b"", "usage", 64),
        (("probe",), b"not json", "usage", 64),
        (("probe",), b"[1]", "usage", 64),
        (("probe",), b'{"exec": ["id"]}', "usage", 64),
        (("probe",), b"[" * 100_000, "usage", 64),
        (("enrol",), b"{}", "usage", 64),
        (("state",), b"{}", "refused", 3),
        (("missing",), b'{"blobs": []}', "refused", 3),
        (("ingest",), b"", "refused", 3),
        (("secret", "list"), b"", "refused", 3),
        (("secret", "show", "token"), b"", "refused", 3),
        (("receipts", "--since", "-1"), b"", "usage", 64),
    ],
)
def test_every_wrong_call_is_one_json_object_and_an_exit_code(
    here, arguments, stdin, code, exit_code
):
    answer = here(*arguments, stdin=stdin)
    assert answer.said["ok"] is False
    assert answer.said["error"]["code"] == code
    assert answer.said["error"]["summary"]
    assert answer.exit_code == exit_code


def test_a_question_too_long_is_refused(here):
    answer = here("probe", stdin=b'{"packages": ["' + b"x" * 5_000_000 + b'"]}')
    assert answer.exit_code == 64


@pytest.mark.parametrize(
    "stdin",
    [
        b'{"blobs": ["sha256:zz"]}',
        b'{"blobs": "x"}',
        b"{}",
        b'{"blobs": [], "more": 1}',
        b'{"blobs": [null]}',
    ],
)
def test_a_request_of_another_form_is_usage(here, wish, stdin):
    here("enrol", stdin=wish)
    answer = here("missing", stdin=stdin)
    assert (answer.exit_code, answer.said["error"]["code"]) == (64, "usage")


def test_a_broken_upload_is_incomplete_and_resumed(here, wish):
    here("enrol", stdin=wish)
    answer = here("ingest", stdin=blob_frame(BLOB)[:-100])
    assert (answer.exit_code, answer.said["error"]["code"]) == (9, "incomplete")
    have = here("missing", stdin=json.dumps({"blobs": [DIGEST]}).encode()).said["missing"][0][
        "have_bytes"
    ]
    assert have == len(BLOB) - 100
    assert here("ingest", stdin=blob_frame(BLOB, start=have)).exit_code == 0


def test_a_damaged_state_file_is_corrupt_and_not_a_trace(here, wish, tmp_path):
    here("enrol", stdin=wish)
    (tmp_path / "p/state/committed").write_bytes(b"\x00garbage")
    answer = here("state")
    assert (answer.exit_code, answer.said["error"]["code"]) == (12, "corrupt")
    assert "Traceback" not in answer.talk


def test_our_own_bug_is_one_line_and_code_internal(monkeypatch, capsys, tmp_path):
    def broken(_session, _arguments):
        raise ZeroDivisionError("division\x1b[31m by zero")

    monkeypatch.setattr(cli, "_find", lambda _verb: broken)
    assert cli.main(["--prefix", str(tmp_path), "state"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "internal"
    assert "ZeroDivisionError at test_cli.py" in json.loads(out)["error"]["detail"]
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_a_secret_shows_up_nowhere_but_in_its_file(here, wish, tmp_path):
    here("enrol", stdin=wish)
    answers = [
        here("secret", "put", "token", stdin=b"canary-7f3a"),
        here("secret", "list"),
        here("state"),
        here("secret", "put", "bad name", stdin=b"canary-7f3a"),
        here("secret", "drop", "nothing"),
    ]
    assert all("canary-7f3a" not in a.talk + json.dumps(a.said) for a in answers)


def test_a_closed_output_is_no_trace(tool, tmp_path):
    command = (
        f"'{sys.executable}' -I -S -B '{tool}' --prefix '{tmp_path}/p' probe </dev/null | true"
    )
    done = subprocess.run(("sh", "-c", command), capture_output=True, check=False)
    assert b"Traceback" not in done.stderr


def test_questions_are_answered_from_compiled_code_and_recovery_from_the_file_itself(
    here, wish, tmp_path
):
    here("enrol", stdin=wish)
    (tool,) = (str(p) for p in (tmp_path / "p/tool").glob("*.pyz"))
    script = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--prefix', sys.argv[2], *sys.argv[3:]]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "from edgeform_device import records; print(records.__file__)"
    )
    for verb, is_compiled in (("state", True), ("recover", False)):
        command = (sys.executable, "-I", "-S", "-B", "-c", script, tool, str(tmp_path / "p"), verb)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        place = done.stdout.decode().splitlines()[-1]
        assert place.startswith(f"{tool}.cpython-") is is_compiled, place
