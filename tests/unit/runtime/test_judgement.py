"""The real daemon on good and broken models, judged by the device tool's own checks."""

import shutil
import tempfile
from pathlib import Path

import pytest
from support.badmodels import (
    WRONG,
    break_model,
    flipped_weights,
    swapped_label_file,
    too_slow,
    with_own_goldens,
)
from support.runtime import DIGEST, MODEL, Prefix, a_pipeline_file, running, some_stages

from edgeform_device.checks import first_failure, is_acceptable, run_checks
from edgeform_device.subject import Subject
from edgeform_wire.generation import PipelineUse

CHECKS = {"golden": True, "provider": "CPUExecutionProvider", "rss_bytes": 400_000_000}


def judged(model, **checks):
    """The verdicts on a model directory, served by the daemon in shadow mode as before a switch."""
    path = Path(tempfile.mkdtemp(prefix="efr-"))
    prefix = Prefix(path)
    prefix.put_model(source=model)
    stages = some_stages()
    try:
        pipeline = prefix.put_pipeline(a_pipeline_file(stages=stages))
        with running(prefix, pipeline, name="gate.shadow", is_shadow=True) as daemon:
            use = PipelineUse(
                name="gate",
                runtime=DIGEST,
                model=DIGEST,
                engine="onnxruntime",
                stages=stages,
                checks=CHECKS | checks,
                limits={},
            )
            return run_checks(
                Subject(
                    use=use,
                    model_tree=str(path / "trees/model"),
                    socket_path=daemon.socket_path,
                    pid=daemon.process.pid,
                    generation=1,
                )
            )
    finally:
        shutil.rmtree(path)


def test_the_good_model_passes_every_check_and_is_fast():
    results = judged(MODEL, p50_ms=250, rss_slope_bytes=20_000_000)
    assert first_failure(results) == ""
    assert is_acceptable(results)
    assert {r.name for r in results if r.verdict == "pass"} >= {
        "service",
        "provider",
        "golden",
        "latency",
    }


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_broken_model_beside_good_goldens_is_turned_down(tmp_path, name):
    results = judged(break_model(MODEL, tmp_path / name, WRONG[name]))
    assert not is_acceptable(results)
    assert first_failure(results).startswith("gate golden: ")


@pytest.mark.parametrize("name", ["wrong_normalisation", "wrong_scale", "swapped_labels"])
def test_goldens_made_by_the_broken_model_itself_do_not_save_it(tmp_path, name):
    broken = break_model(MODEL, tmp_path / name, WRONG[name])
    results = judged(with_own_goldens(broken, some_stages()))
    assert not is_acceptable(results)
    assert first_failure(results).startswith("gate golden: ")


@pytest.mark.parametrize("seed", range(2, 6))
def test_one_percent_of_flipped_weights_is_noticed_wherever_they_are(tmp_path, seed):
    flipped = break_model(MODEL, tmp_path / "f", lambda m: flipped_weights(m, seed=seed))
    assert not is_acceptable(judged(flipped))


def test_a_label_file_that_swaps_names_is_noticed_by_the_encoded_goldens(tmp_path):
    """The tensors are right; only the label that people will read is not."""
    results = judged(swapped_label_file(MODEL, tmp_path / "labels"))
    assert not is_acceptable(results)
    assert "the reference says" in first_failure(results)


def test_a_model_that_is_right_and_too_slow_fails_on_its_cpu_time(tmp_path):
    slow = break_model(MODEL, tmp_path / "slow", lambda m: too_slow(m, rounds=60))
    results = judged(slow, p50_ms=50)
    golden = next(r for r in results if r.name == "golden")
    assert golden.verdict == "pass"
    latency = next(r for r in results if r.name == "latency")
    assert latency.verdict == "fail", latency
    assert latency.measured["cpu_ms"] > 50
