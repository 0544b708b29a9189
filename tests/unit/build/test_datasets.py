import json
import os
import shutil

import pytest
from support.building import CALIBRATION, EVALUATION, a_dataset, some_samples

from edgeform.build import datasets
from edgeform.build.failure import DataSetUnusable


def refused(problem, *arguments, **more):
    with pytest.raises(DataSetUnusable) as caught:
        problem(*arguments, **more)
    return f"{caught.value.detail}\n{caught.value.hint}"


def test_the_labs_data_sets_are_disjoint_and_large_enough_for_the_usual_gate():
    calibration, evaluation = datasets.read(CALIBRATION), datasets.read(EVALUATION)
    datasets.check_evaluation(evaluation, 0.01)
    datasets.check_calibration(calibration, is_forced=False)
    datasets.check_disjoint(calibration, evaluation)
    assert len(evaluation.classes) == 10


def test_a_data_set_is_known_by_what_it_holds_and_not_by_names(tmp_path):
    one = datasets.read(a_dataset(tmp_path / "a", [("x.bin", b"1", "0"), ("y.bin", b"2", "1")]))
    other = datasets.read(a_dataset(tmp_path / "b", [("p.bin", b"1", "0"), ("q.bin", b"2", "1")]))
    relabelled = a_dataset(tmp_path / "c", [("x.bin", b"1", "1"), ("y.bin", b"2", "1")])
    changed = a_dataset(tmp_path / "d", [("x.bin", b"3", "0"), ("y.bin", b"2", "1")])
    assert one.digest == other.digest
    assert len({one.digest, datasets.read(relabelled).digest, datasets.read(changed).digest}) == 3


def test_an_empty_evaluation_set_is_refused(tmp_path):
    found = datasets.read(a_dataset(tmp_path, []))
    assert "empty" in refused(datasets.check_evaluation, found, 0.5)


def test_a_set_of_one_class_is_refused(tmp_path):
    found = datasets.read(a_dataset(tmp_path, some_samples(400, classes=1)))
    assert "a network that always says so would pass" in refused(
        datasets.check_evaluation, found, 0.05
    )


def test_a_sample_without_a_label_is_refused_and_named(tmp_path):
    samples = [*some_samples(10), ("nameless.bin", b"?", None)]
    found = datasets.read(a_dataset(tmp_path, samples))
    assert "nameless.bin has no label" in refused(datasets.check_evaluation, found, 0.5)


def test_a_set_too_small_for_the_gate_says_what_it_can_prove_and_how_many_it_takes(tmp_path):
    found = datasets.read(a_dataset(tmp_path, some_samples(100)))
    text = refused(datasets.check_evaluation, found, 0.01)
    assert "100 samples cannot prove" in text
    assert "0.0295" in text
    assert "at least 299 samples" in text
    datasets.check_evaluation(found, 0.03)


@pytest.mark.parametrize("samples", [1, 10, 299, 360, 10_000])
def test_the_smallest_provable_drop_is_just_not_unlikely_to_stay_unseen(samples):
    drop = datasets.smallest_provable_drop(samples)
    assert (1 - drop) ** samples == pytest.approx(1 - datasets.CONFIDENCE)
    assert datasets.samples_for(drop * 1.0001) <= samples


def test_an_evaluation_sample_that_also_calibrates_is_refused_whatever_its_name(tmp_path):
    one = datasets.read(a_dataset(tmp_path / "a", some_samples(20)))
    leak = [*some_samples(400, prefix="t"), ("renamed.bin", b"s7", "1")]
    other = datasets.read(a_dataset(tmp_path / "b", leak))
    text = refused(datasets.check_disjoint, one, other)
    assert "1 of 401 samples" in text
    assert "s7.bin = renamed.bin" in text


def test_few_calibration_samples_are_refused(tmp_path):
    found = datasets.read(a_dataset(tmp_path, some_samples(15)))
    assert "15 samples; 16 are the fewest" in refused(
        datasets.check_calibration, found, is_forced=False
    )


def test_synthetic_calibration_is_refused_unless_somebody_forces_it(tmp_path):
    found = datasets.read(a_dataset(tmp_path, some_samples(20), synthetic=True))
    assert "--force-synthetic-calibration" in refused(
        datasets.check_calibration, found, is_forced=False
    )
    datasets.check_calibration(found, is_forced=True)


def test_a_manifest_that_is_missing_broken_or_of_another_form_is_refused(tmp_path):
    assert "There is no such data set" in refused(datasets.read, tmp_path / "none")
    folder = a_dataset(tmp_path / "a", some_samples(3))
    manifest = folder / datasets.MANIFEST
    whole = json.loads(manifest.read_text())
    for broken, said in (
        ("{", "It is no JSON"),
        ("[]", "the object itself breaks 'type'"),
        (json.dumps(whole | {"task": "guessing"}), "task breaks 'enum'"),
        (json.dumps(whole | {"taks": 1}), "breaks 'additionalProperties'"),
        (json.dumps(whole | {"samples": [{"label": "1"}]}), "samples.0 breaks 'required'"),
    ):
        manifest.write_text(broken)
        assert said in refused(datasets.read, folder)


@pytest.mark.parametrize("name", ["../x.bin", "/etc/passwd", "a/../../x", ""])
def test_a_sample_outside_the_folder_is_refused(tmp_path, name):
    folder = a_dataset(tmp_path, some_samples(2))
    value = json.loads((folder / datasets.MANIFEST).read_text())
    value["samples"][0]["file"] = name
    (folder / datasets.MANIFEST).write_text(json.dumps(value))
    refused(datasets.read, folder)


def test_a_sample_that_is_a_link_missing_or_empty_is_refused(tmp_path):
    folder = a_dataset(tmp_path / "a", some_samples(3))
    (folder / "s0.bin").unlink()
    assert "s0.bin is missing, or a link" in refused(datasets.read, folder)
    os.symlink("/etc/hostname", folder / "s0.bin")
    assert "s0.bin is missing, or a link" in refused(datasets.read, folder)
    (folder / "s0.bin").unlink()
    (folder / "s0.bin").write_bytes(b"")
    assert "s0.bin is empty" in refused(datasets.read, folder)


def test_a_folder_that_is_a_link_is_not_followed(tmp_path):
    shutil.copytree(a_dataset(tmp_path / "real", some_samples(3)), tmp_path / "elsewhere")
    folder = a_dataset(tmp_path / "set", [("in/s.bin", b"1", "0")])
    shutil.rmtree(folder / "in")
    os.symlink(tmp_path / "elsewhere", folder / "in")
    value = json.loads((folder / datasets.MANIFEST).read_text())
    value["samples"][0]["file"] = "in/s0.bin"
    (folder / datasets.MANIFEST).write_text(json.dumps(value))
    assert "a link" in refused(datasets.read, folder)


def test_tensors_without_a_description_are_refused(tmp_path):
    folder = a_dataset(tmp_path, some_samples(3), level="tensor")
    assert "`inputs` does not say which" in refused(datasets.read, folder)
