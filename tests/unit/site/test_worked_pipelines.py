"""The worked pipelines of site/factory: real files in, through the real process, results against what is true."""

import hashlib
import json
import re
import shutil

import pytest
from average_precision import COCO_OVERLAPS, mean_average_precision
from matching import matches
from ranking import area_under_curve
from support.badmodels import break_model, flipped_weights
from support.runtime import running
from support.worked import (
    FACTORY,
    FIGURES,
    PIPELINES,
    REPOSITORY,
    TRAINED_WITH,
    a_prefix,
    boxes_there,
    boxes_told,
    judged,
    lines_of,
    samples_of,
    told,
    worked,
)

from edgeform_device.checks import first_failure, is_acceptable
from edgeform_wire import golden

FEW = {"belt-anchors": 16, "belt-yolo": 16, "hum": 16, "logbook": 40, "scratch": 24}
MANY = {"belt-anchors": 300, "belt-yolo": 300, "hum": 300, "logbook": 600, "scratch": 400}
SAMPLING = 0.03
"""How far the figures of these samples, which are others, may lie from those of training."""


def right_share(name, count):
    samples = samples_of(name, count)
    lines = lines_of(told(worked(name), samples))
    return sum(a == s.line for a, s in zip(lines, samples, strict=True)) / count


def entities_of(line, place):
    """(type, place and text) of each entity of an answer's line."""
    parts = () if line == "nothing" else line.split("; ")
    return [(part.partition(" ")[0], (place, part.partition(" ")[2])) for part in parts]


def test_scratch_tells_pressed_parts_by_their_pictures():
    assert right_share("scratch", FEW["scratch"]) >= 0.9


@pytest.mark.parametrize("name", ["belt-anchors", "belt-yolo"])
def test_detectors_find_what_lies_on_the_belt_and_where(name):
    samples = samples_of(name, FEW[name])
    records = told(worked(name), samples)
    assert [r["frame"] for r in records] == [s.name for s in samples]
    mean, by_class = mean_average_precision(boxes_told(records), boxes_there(samples))
    assert set(by_class) == {"disc", "plate", "wedge"}
    assert mean >= 0.9, by_class
    tight, _ = mean_average_precision(boxes_told(records), boxes_there(samples), (0.75,))
    assert tight >= 0.7


def test_hum_tells_faulty_seconds_from_those_in_order():
    samples = samples_of("hum", FEW["hum"])
    records = told(worked("hum"), samples)
    scores = [r["result"]["score"] for r in records]
    normal = [v for v, s in zip(scores, samples, strict=True) if s.line == "normal"]
    faulty = [v for v, s in zip(scores, samples, strict=True) if s.line == "anomaly"]
    assert area_under_curve(normal, faulty) >= 0.9


def test_logbook_finds_who_and_what_a_line_is_about():
    samples = samples_of("logbook", FEW["logbook"])
    lines = lines_of(told(worked("logbook"), samples))
    found = [e for n, line in enumerate(lines) for e in entities_of(line, n)]
    there = [e for n, sample in enumerate(samples) for e in entities_of(sample.line, n)]
    every, _ = matches(found, there)
    assert every.f1 >= 0.85, [(a, s.line) for a, s in zip(lines, samples, strict=True)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PIPELINES)
def test_the_stated_figures_hold_for_samples_that_nobody_has_seen(name):
    figures = json.loads(FIGURES[name].read_text())
    samples = samples_of(name, MANY[name])
    records = told(worked(name), samples)
    lines = lines_of(records)
    right = sum(a == s.line for a, s in zip(lines, samples, strict=True)) / len(samples)
    if name.startswith("belt"):
        told_boxes, truth = boxes_told(records), boxes_there(samples)
        mean, _ = mean_average_precision(told_boxes, truth)
        assert mean >= figures["map_50"] - SAMPLING
        whole, _ = mean_average_precision(told_boxes, truth, COCO_OVERLAPS)
        assert whole >= figures["map_50_95"] - SAMPLING
    elif name == "hum":
        score = [(s.line, r["result"]["score"]) for s, r in zip(samples, records, strict=True)]
        sides = [[v for line, v in score if line == side] for side in ("normal", "anomaly")]
        assert area_under_curve(*sides) >= figures["auc"] - SAMPLING
    elif name == "logbook":
        found = [e for n, line in enumerate(lines) for e in entities_of(line, n)]
        there = [e for n, sample in enumerate(samples) for e in entities_of(sample.line, n)]
        assert matches(found, there)[0].f1 >= figures["f1"] - SAMPLING
    else:
        assert right >= figures["accuracy"] - SAMPLING


@pytest.mark.parametrize("name", PIPELINES)
def test_a_device_s_checks_take_the_model(name):
    results = judged(worked(name))
    assert first_failure(results) == ""
    assert is_acceptable(results)
    verdicts = {r.name: r.verdict for r in results}
    assert verdicts["golden"] == verdicts["configuration"] == verdicts["provider"] == "pass"


@pytest.mark.parametrize("name", PIPELINES)
def test_the_goldens_have_both_levels_and_say_every_label(name):
    pipeline = worked(name)
    found = golden.decode((pipeline.model / golden.INDEX_PATH).read_bytes())
    assert found.engine == "onnxruntime"
    assert {c.level for c in found.cases} == {"tensor", "encoded"}
    assert all(c.variant and c.fp32 and c.label for c in found.cases)
    said = " ".join(c.label for c in found.cases if c.level == "encoded")
    for label in known_labels(pipeline):
        assert re.search(rf"\b{label}\b", said), (label, said)


def known_labels(pipeline):
    post = pipeline.stages["postprocess"]
    if post["kind"] == "anomaly":
        return ["normal", "anomaly"]
    labels = (pipeline.model / post["labels"]).read_text().split()
    return sorted({label.removeprefix("B-").removeprefix("I-") for label in labels} - {"O"})


@pytest.mark.parametrize("name", PIPELINES)
def test_a_twin_with_one_percent_of_its_weights_flipped_is_refused(name, tmp_path):
    pipeline = worked(name)
    results = judged(pipeline, model=break_model(pipeline.model, tmp_path / "m", flipped_weights))
    assert not is_acceptable(results)
    assert first_failure(results).startswith(f"{name} golden: ")


@pytest.mark.parametrize("name", sorted({*PIPELINES} - {"hum"}))
def test_a_twin_with_its_labels_in_another_order_is_refused(name, tmp_path):
    """The tensors are right; only what people will read is not."""
    pipeline = worked(name)
    shutil.copytree(pipeline.model, tmp_path / "m")
    path = tmp_path / "m" / pipeline.stages["postprocess"]["labels"]
    labels = path.read_text().split()
    if name == "logbook":
        swap = {"PART": "MACHINE", "MACHINE": "PART"}
        labels = [f"{a}{b}{swap.get(c, c)}" for a, b, c in (tag.partition("-") for tag in labels)]
    else:
        labels = [*labels[1:], labels[0]]
    path.write_text("".join(f"{label}\n" for label in labels))
    results = judged(pipeline, model=tmp_path / "m")
    assert not is_acceptable(results)
    assert "the reference says" in first_failure(results)


def test_a_twin_with_the_threshold_of_another_machine_is_refused():
    pipeline = worked("hum")
    pipeline.stages["postprocess"]["threshold"] *= 10
    results = judged(pipeline)
    assert not is_acceptable(results)
    assert "says 'normal', the reference says 'anomaly'" in first_failure(results)


def test_a_twin_whose_anchors_are_others_than_the_network_s_is_refused():
    pipeline = worked("belt-anchors")
    pipeline.stages["postprocess"]["octaves"] = 1
    results = judged(pipeline)
    assert not is_acceptable(results)
    assert "the anchors of this stage are 1008" in first_failure(results)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_twin_that_prepares_its_input_otherwise_is_refused(name):
    pipeline = worked(name)
    for step in pipeline.stages["preprocess"]:
        if step["kind"] == "normalise":
            step.update(scale=1.0 / 127.5, mean=[1.0], std=[1.0])
        elif step["kind"] == "z_score":
            step.update(mean=[-6.0], std=[2.0])
        elif step["kind"] == "tokenise":
            step.update(lower=True)
    results = judged(pipeline)
    assert not is_acceptable(results)
    assert re.search("deviates by|the best class is another one", first_failure(results))


@pytest.mark.parametrize("name", PIPELINES)
def test_the_site_prepares_and_reads_as_the_network_was_trained(name):
    trained, now = json.loads(TRAINED_WITH[name].read_text()), worked(name).stages
    for stage in ("preprocess", "postprocess"):
        wanted = trained[stage] if stage == "preprocess" else [trained[stage]]
        found = now[stage] if stage == "preprocess" else [now[stage]]
        assert len(wanted) == len(found)
        for one, other in zip(wanted, found, strict=True):
            assert {key: other.get(key) for key in one} == one
    for key in ("kind", "payload"):
        assert trained["capture"].get(key, now["capture"].get(key)) == now["capture"].get(key)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_figures_are_those_of_the_file_that_is_installed(name):
    figures = json.loads(FIGURES[name].read_text())
    content = (worked(name).model / "model.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == figures["sha256"]
    assert len(content) == figures["size_bytes"]
    assert len(content) < 2_000_000


def test_nothing_but_training_imports_torch():
    imports = re.compile(r"^\s*(?:import|from) torch\b", re.MULTILINE)
    allowed = (FACTORY / "training", REPOSITORY / "site" / "lab" / "model")
    for top in ("bench", "docs", "edgeform", "playbooks", "runtime", "site", "tests"):
        for path in (REPOSITORY / top).rglob("*.py"):
            if not any(path.is_relative_to(folder) for folder in allowed):
                assert not imports.search(path.read_text()), path


def test_a_second_that_does_not_sound_right_is_kept_as_the_wav_file_that_it_is():
    pipeline = worked("hum")
    (faulty,) = [s for s in samples_of("hum", 2) if s.line == "anomaly"]
    with a_prefix(pipeline) as (prefix, file), running(prefix, file, name="one") as daemon:
        assert daemon.http().post("/v1/frames", faulty.content)[0] == 202
        daemon.wait_for(lambda state: state["frames"]["inferred"] == 1)
        assert daemon.stop() == 0
        (kept,) = (prefix.path / "hum-unusual" / "hum").glob("*.wav")
        assert kept.read_bytes() == faulty.content


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("scratch", ("parameters", "accuracy", "held_out_pictures")),
        ("belt-yolo", ("parameters", "map_50", "map_50_95", "held_out_scenes", "held_out_parts")),
        ("belt-anchors", ("parameters", "map_50", "map_50_95")),
        ("hum", ("parameters", "auc")),
        ("logbook", ("parameters", "f1", "held_out_lines", "held_out_entities")),
    ],
)
def test_the_page_states_what_training_measured(name, stated):
    figures = json.loads(FIGURES[name].read_text())
    page = (REPOSITORY / "docs" / "how-to" / "pipelines.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    for key in stated:
        value = figures[key]
        text = f"{value:,}" if isinstance(value, int) else str(value)
        assert re.search(rf"(?<![\d.]){re.escape(text)}(?![\d])", row), (key, text)
    assert figures["measured"]["date"] in page
