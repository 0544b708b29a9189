"""A model that sees one in N frames, is compared and never acts."""

import json
import shutil

import pytest
from support.runtime import MODEL, SCENES, a_pipeline_file, running, some_stages

from edgeform_runtime.watcher import same

OTHER = "sha256:" + "7" * 64
SHADOW = {"every": 2, "model": OTHER, "model_ref": "digits@2.0.0/f32"}


def looked_at(prefix, source, count=8):
    """The state after that many frames, with the metrics and the results that were stored."""
    prefix.put_model()
    prefix.put_model(tree="trees/" + "7" * 64, source=source)
    stages = some_stages(shadow=SHADOW)
    scenes = sorted(SCENES.glob("*.png"))
    with running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages))) as daemon:
        http = daemon.http()
        for number in range(count):
            http.post("/v1/frames", scenes[number % len(scenes)].read_bytes())
            daemon.wait_for(lambda s, n=number: s["frames"]["inferred"] == n + 1)
            if number % 2:
                daemon.wait_for(lambda s, n=number: _seen(s) == (n + 1) // 2)
        state, text = daemon.state(), http.get("/metrics")[1].decode()
    stored = sorted((prefix.path / "results").rglob("*.jsonl"))
    results = [json.loads(line) for path in stored for line in path.read_text().splitlines()]
    return state, text, results


def _seen(state):
    found = state["shadow"]
    return found["agreed"] + found["differed"] + found["failed"] + found["left_out"]


def test_an_equal_model_agrees_on_every_second_frame(prefix):
    state, text, results = looked_at(prefix, MODEL)
    assert state["shadow"] == {
        "agreed": 4,
        "differed": 0,
        "failed": 0,
        "left_out": 0,
        "model_ref": "digits@2.0.0/f32",
        "every": 2,
    }
    labels = 'pipeline="gate",outcome="agreed",variant="digits@2.0.0/f32"'
    assert f"edgeform_shadow_frames_total{{{labels}}} 4" in text
    assert state["frames"]["inferred"] == 8, "what it sees is counted for itself"
    assert len(results) == 8, "and it never acts"


def test_a_model_that_answers_differently_is_counted_and_changes_nothing(prefix, tmp_path):
    wrong = shutil.copytree(MODEL, tmp_path / "wrong")
    labels = (wrong / "labels.txt").read_text().split()
    (wrong / "labels.txt").write_text("\n".join([*labels[1:], labels[0]]) + "\n")
    state, _, results = looked_at(prefix, wrong)
    assert (state["shadow"]["differed"], state["shadow"]["failed"]) == (4, 0)
    assert len(results) == 8
    assert {r["model_ref"] for r in results if "model_ref" in r} <= {"digits@1.0.0/f32"}


@pytest.mark.parametrize(
    ("live", "other", "agrees"),
    [
        (
            {"classes": [{"label": "a", "score": 0.9}]},
            {"classes": [{"label": "a", "score": 0.6}]},
            True,
        ),
        ({"classes": [{"label": "a"}]}, {"classes": [{"label": "b"}]}, False),
        (
            {"detections": [{"label": "a"}, {"label": "b"}]},
            {"detections": [{"label": "b"}, {"label": "a"}]},
            True,
        ),
        ({"detections": [{"label": "a"}]}, {"detections": []}, False),
        ({"kind": "anomaly", "is_anomaly": True}, {"kind": "anomaly", "is_anomaly": False}, False),
        ({"kind": "threshold", "is_over": True}, {"kind": "threshold", "is_over": True}, True),
        (
            {"entities": [{"label": "PER", "start": 0, "end": 3}]},
            {"entities": [{"label": "PER", "start": 0, "end": 4}]},
            False,
        ),
    ],
)
def test_results_are_the_same_when_people_would_be_told_the_same(live, other, agrees):
    assert same(live, other) is agrees
