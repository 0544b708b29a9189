"""A step that crashes, hangs, grows, lies or leaves children behind: one sentence each, nothing kept."""

import contextlib
import os
import time
from pathlib import Path

import pytest
from support.building import a_builder_that

from edgeform.build.failure import BuildFailed, ModelUnusable
from edgeform.build.jobs import JobLimits, run_job

GOOD = "(folder / 'out' / 'model.onnx').write_bytes(b'x'); done(entry='model.onnx', notes=['well'])"


def run(tmp_path, source, tell=lambda _: None, **limits):
    return run_job(
        a_builder_that(source),
        tmp_path / "job",
        {"step": "clean", "source": "model.onnx"},
        what="Step clean",
        limits=JobLimits(**limits),
        tell=tell,
    )


def failing(tmp_path, source, error=BuildFailed, **limits):
    with pytest.raises(error) as caught:
        run(tmp_path, source, **limits)
    return f"{caught.value.detail} {caught.value.address} {caught.value.hint}"


def test_a_step_gives_its_file_and_its_notes_are_heard_while_it_runs(tmp_path):
    heard = []
    talking = "print(json.dumps({'note': 'half way'}), flush=True); print('noise')\n"
    found = run(tmp_path, talking + GOOD, tell=heard.append)
    assert (found.entry, found.notes, heard) == ("model.onnx", ("well",), ["half way"])


def test_a_folder_that_is_named_from_here_is_found_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = a_builder_that(GOOD)
    found = run_job(
        Path(os.path.relpath(python)),
        Path("job"),
        {"step": "clean", "source": "model.onnx"},
        what="Step clean",
        limits=JobLimits(),
    )
    assert found.entry == "model.onnx"


def test_a_step_sees_no_secrets_proxies_or_input_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("HTTPS_PROXY", "http://canary")
    look = "done(entry='model.onnx', notes=[json.dumps(dict(os.environ)), sys.stdin.read()])"
    seen, typed = run(tmp_path, look).notes
    assert "canary" not in seen
    assert typed == ""


def test_a_step_that_hangs_is_stopped_and_says_how_to_give_it_more_time(tmp_path):
    began = time.monotonic()
    text = failing(
        tmp_path, "print('stuck here', file=sys.stderr, flush=True); time.sleep(600)", time_s=1.0
    )
    assert "did not end within 1 s" in text
    assert "stuck here" in text
    assert "--time-limit" in text
    assert time.monotonic() - began < 60


def test_a_step_that_takes_too_much_memory_is_stopped_and_says_what_it_took(tmp_path):
    grow = "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * (8 << 20)); time.sleep(0.02)"
    text = failing(tmp_path, grow, memory_bytes=150_000_000)
    assert "took too much memory" in text
    assert "150.0 MB are allowed" in text
    assert "--memory-limit" in text


def test_memory_of_children_counts_as_well(tmp_path):
    child = "x = bytearray(b'x') * (200 << 20); import time; time.sleep(60)"
    text = failing(
        tmp_path, f"subprocess.run([sys.executable, '-c', {child!r}])", memory_bytes=150_000_000
    )
    assert "took too much memory" in text


def test_a_step_that_the_kernel_kills_is_told_as_that(tmp_path):
    assert "The kernel stopped it" in failing(tmp_path, "os.kill(os.getpid(), 9)")


def test_a_step_that_crashes_names_its_signal_and_its_last_words(tmp_path):
    crash = "print('assertion in kernel', file=sys.stderr, flush=True); os.abort()"
    text = failing(tmp_path, crash)
    assert "crashed (SIGABRT)" in text
    assert "assertion in kernel" in text


def test_a_step_that_raises_says_what(tmp_path):
    told = "done(error={'code': 'failed', 'summary': 'KeyError: x', 'hint': ''}); sys.exit(1)"
    assert "Step clean failed: KeyError: x" in failing(tmp_path, told)


def test_a_step_that_ends_without_a_result_failed(tmp_path):
    assert "left no result" in failing(tmp_path, "pass")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "edgeform.job_result/9"}'])
def test_half_a_result_is_no_result(tmp_path, text):
    source = f"(folder / 'result.json').write_text({text!r})"
    assert "left no result" in failing(tmp_path, source)


def test_a_result_of_a_step_that_then_fails_is_not_believed(tmp_path):
    assert "ended with code 7" in failing(tmp_path, GOOD + "\nsys.exit(7)")


def test_a_refusal_is_about_the_model_and_not_about_the_tool(tmp_path):
    told = (
        "done(error={'code': 'refused', 'summary': 'no MatMul', 'hint': 'Take int8.'}); sys.exit(3)"
    )
    text = failing(tmp_path, told, error=ModelUnusable)
    assert "no MatMul" in text
    assert "Take int8." in text


def test_a_full_disk_is_told_as_that(tmp_path):
    told = "done(error={'code': 'disk', 'summary': 'x', 'hint': ''}); sys.exit(1)"
    assert "the disk is full" in failing(tmp_path, told)


def test_children_that_a_step_leaves_behind_are_ended(tmp_path):
    leave = "p = subprocess.Popen(['sleep', '300']); (folder / 'pid').write_text(str(p.pid))\n"
    run(tmp_path, leave + GOOD)
    pid = int((tmp_path / "job" / "pid").read_text())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _is_running(pid):
        time.sleep(0.05)
    assert not _is_running(pid)


def test_a_builder_that_cannot_be_started_says_so(tmp_path):
    with pytest.raises(BuildFailed, match="cannot be started"):
        run_job(
            tmp_path / "nothing",
            tmp_path / "job",
            {"step": "clean", "source": "x"},
            what="Step clean",
            limits=JobLimits(),
        )


def _is_running(pid):
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and os.kill(pid, 0) is None
    return False
