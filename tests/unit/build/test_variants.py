"""Variants of the lab's network, built in real builders and judged in the real runtime."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.building import (
    DIGITS,
    a_build,
    a_dataset,
    a_request,
    a_shop,
    calibration,
    evaluation,
    need_builders,
)

from edgeform.build import datasets
from edgeform.build.failure import DataSetUnusable, ModelUnusable, VariantRefused
from edgeform.build.origin import PROVENANCE, SBOM
from edgeform.build.variants import build_variant, check_data, derivation_of
from edgeform.domain.builds import Gate, Step
from edgeform_wire import digest, golden

ENGINE_VERSION = "1.32.0"


class Kept:
    """A sink that keeps a copy of every file, by digest."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, path):
        found = digest.of_file(str(path))
        shutil.copyfile(path, self.folder / digest.hex_of(found))
        return found

    def tree(self, artifact, folder):
        for file in artifact.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / digest.hex_of(file.digest), target)
        return folder


def built(tmp_path, *steps, name="w", gate=None, heard=None, **more):
    need_builders("onnx")
    build = a_build(*steps, gate=gate)
    shop = a_shop(tmp_path / name, tell=(heard if heard is not None else []).append)
    sink = Kept(tmp_path / f"{name}-sink")
    request = a_request(build, **more)
    found = build_variant(request, shop, sink)
    return found, sink.tree(found.artifact, tmp_path / f"{name}-tree"), request


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    return built(tmp_path_factory.mktemp("int8"), "clean", "int8")


def test_int8_passes_the_gate_on_held_out_data_and_is_half_the_size(int8):
    found, tree, _ = int8
    measures = found.artifact.metadata["measures"]
    assert found.artifact.metadata["precision"] == "int8"
    assert measures["accuracy"] >= 0.9594
    assert measures["agreement"] >= 0.98
    assert measures["sqnr_db"] >= 30
    assert measures["samples"] == 360
    assert (tree / "model.onnx").stat().st_size < (DIGITS / "model.onnx").stat().st_size / 2
    assert (tree / "labels.txt").read_bytes() == (DIGITS / "labels.txt").read_bytes()


def test_the_artifact_says_what_it_follows_from_and_nothing_about_the_hour(int8):
    found, tree, request = int8
    assert found.artifact.metadata["built"] == {
        "derivation": derivation_of(request).digest,
        "rung": "as asked",
    }
    everything = (tree / PROVENANCE).read_text() + (tree / SBOM).read_text()
    assert str(tree.parent) not in everything
    for word in ("startedOn", "finishedOn", "timestamp", "hostname"):
        assert word not in everything


def test_its_goldens_have_both_levels_and_both_references(int8):
    _, tree, _ = int8
    found = golden.decode((tree / golden.INDEX_PATH).read_bytes())
    assert (found.precision, found.engine) == ("int8", "onnxruntime")
    levels = [case.level for case in found.cases]
    assert levels.count("tensor") == 8
    assert sorted(c.label for c in found.cases if c.level == "encoded") == list("0123456789")
    for case in found.cases:
        assert case.variant
        assert case.fp32
        for tensor in (*case.variant, *case.fp32):
            assert (tree / tensor.path).stat().st_size == tensor.size_bytes


def test_goldens_come_from_the_evaluation_set_and_never_from_calibration(int8):
    _, tree, _ = int8
    found = golden.decode((tree / golden.INDEX_PATH).read_bytes())
    shown = {digest.of_file(str(tree / case.frame)) for case in found.cases if case.frame}
    assert shown <= {sample.digest for sample in evaluation().samples}
    assert not shown & {sample.digest for sample in calibration().samples}


def test_provenance_is_a_statement_about_every_other_file(int8):
    found, tree, request = int8
    statement = json.loads((tree / PROVENANCE).read_bytes())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    files = {f.path: digest.hex_of(f.digest) for f in found.artifact.files}
    assert subjects == {path: hexed for path, hexed in files.items() if path != PROVENANCE}
    assert found.artifact.provenance == "sha256:" + files[PROVENANCE]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["derivation"] == derivation_of(request).to_json()
    named = {d.get("name") for d in definition["resolvedDependencies"]}
    assert {"digits@1.0.0", "calibration data set", "evaluation data set"} <= named


def test_the_bill_of_materials_names_source_data_and_tools(int8):
    found, tree, _ = int8
    bom = json.loads((tree / SBOM).read_bytes())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert found.artifact.sbom == digest.of_file(str(tree / SBOM))
    purls = {c.get("purl") for c in bom["metadata"]["tools"]["components"]}
    assert {"pkg:pypi/onnxruntime@1.32.0", "pkg:pypi/onnx@1.23.2"} <= purls
    kinds = [c["type"] for c in bom["components"]]
    assert kinds == ["machine-learning-model", "data", "data"]
    refs = [bom["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in bom["components"])]
    assert len(set(refs)) == len(refs)
    assert {bom["dependencies"][0]["ref"], *bom["dependencies"][0]["dependsOn"]} == set(refs)


def test_building_twice_gives_the_same_artifact(int8, tmp_path):
    again, _, _ = built(tmp_path, "clean", "int8", name="elsewhere")
    assert again.artifact.digest == int8[0].artifact.digest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "precision"),
    [
        (("clean",), "f32"),
        (("fp16",), "f16"),
        (("int8",), "int8"),
        (("clean", Step(name="int8", parameters=(("calibrator", "entropy"),))), "int8"),
        (("clean", Step(name="int8", parameters=(("symmetric", True),))), "int8"),
        (("clean", Step(name="int8", parameters=(("mixed", True),))), "int8"),
        (("clean", "int8_dynamic"), "int8"),
        (("clean", "int4"), "int4"),
    ],
    ids=lambda given: (
        "+".join(getattr(s, "name", s) + str(dict(getattr(s, "parameters", ()))) for s in given)
        if isinstance(given, tuple)
        else given
    ),
)
def test_each_recipe_passes_and_gives_the_same_bytes_twice(tmp_path, steps, precision):
    one, tree, _ = built(tmp_path, *steps)
    other, _, _ = built(tmp_path, *steps, name="again")
    assert one.artifact.digest == other.artifact.digest
    assert one.artifact.metadata["precision"] == precision
    assert one.report.taken.name == "as asked"
    onnx.checker.check_model(str(tree / "model.onnx"))


@pytest.mark.slow
def test_int4_says_what_share_of_the_weights_it_touched(tmp_path):
    found, _, _ = built(tmp_path, "clean", "int4")
    assert any("1 of 20 layers with weights in INT4: 3 %" in n for n in found.report.taken.notes)


@pytest.mark.slow
def test_the_ladder_is_climbed_in_order_until_a_rung_passes(tmp_path):
    step = Step(name="int8", parameters=(("per_channel", False), ("samples", 20)))
    found, _, _ = built(tmp_path, "clean", step, gate=Gate(sqnr_db=60, agreement=0.9))
    assert [(r.name, r.state) for r in found.report.rungs] == [
        ("as asked", "failed"),
        ("per-channel", "failed"),
        ("more-calibration", "failed"),
        ("mixed-precision", "refused"),
        ("fp16", "passed"),
    ]
    figures = [r.figures["sqnr_db"] for r in found.report.rungs if r.figures]
    assert figures == sorted(figures)
    assert found.artifact.metadata["precision"] == "f16"
    assert found.artifact.metadata["built"]["rung"] == "fp16"


@pytest.mark.slow
def test_mixed_precision_leaves_the_most_sensitive_layers_in_fp32(tmp_path):
    step = Step(name="int8", parameters=(("per_channel", False), ("samples", 20)))
    gate = Gate(sqnr_db=34.5, ladder=("mixed-precision",))
    found, _, _ = built(tmp_path, "clean", step, gate=gate)
    assert [r.state for r in found.report.rungs] == ["failed", "passed"]
    assert found.report.taken.name == "mixed-precision"
    assert any("in FP32 stay" in note for note in found.report.taken.notes)
    assert found.report.taken.figures["sqnr_db"] >= 34.5


def test_synthetic_calibration_is_refused_and_what_it_costs_is_seen_when_it_is_forced(tmp_path):
    request = a_request(a_build("clean", "int8"), calibration=None, is_synthetic=True)
    with pytest.raises(DataSetUnusable, match="synthetic"):
        check_data(request, is_forced=False)
    check_data(request, is_forced=True)
    with pytest.raises(VariantRefused) as caught:
        built(
            tmp_path,
            "clean",
            "int8",
            gate=Gate(ladder=(), accuracy_drop=0.1),
            calibration=None,
            is_synthetic=True,
        )
    (rung,) = caught.value.report.rungs
    assert rung.state == "failed"
    assert rung.figures["sqnr_db"] < 15  # 35 dB with the real samples
    assert "as asked: " in caught.value.detail
    assert "wanted at least 15 dB" in caught.value.detail


@pytest.mark.slow
def test_what_was_forced_is_stamped_into_the_artifact(tmp_path):
    found, tree, _ = built(
        tmp_path,
        "clean",
        "int8",
        calibration=replace(calibration(), is_synthetic=True),
        is_synthetic=True,
    )
    assert found.artifact.metadata["built"]["calibration"] == "synthetic"
    statement = json.loads((tree / PROVENANCE).read_bytes())
    internal = statement["predicate"]["buildDefinition"]["internalParameters"]
    assert internal["syntheticCalibration"] is True


@pytest.mark.slow
def test_invented_ranges_do_not_even_pass_their_own_goldens(tmp_path):
    """A gate that lets everything through does not let this through: devices would refuse it."""
    open_gate = Gate(accuracy_drop=1.0, agreement=0.0, sqnr_db=0.0, ladder=())
    with pytest.raises(ModelUnusable, match="does not pass its own goldens"):
        built(tmp_path, "clean", "int8", gate=open_gate, calibration=None, is_synthetic=True)


def test_a_leak_that_only_preprocessing_shows_is_found(tmp_path):
    """The same picture in another file: other bytes, the same tensor."""
    need_builders("onnx")
    sample = evaluation().samples[0]
    content = (evaluation().folder / sample.file).read_bytes() + b"\0"  # after IEND: nobody looks
    mine = [
        (s.file, (calibration().folder / s.file).read_bytes(), s.label)
        for s in calibration().samples[:20]
    ]
    leaking = datasets.read(a_dataset(tmp_path / "set", [*mine, ("z.png", content, sample.label)]))
    datasets.check_disjoint(leaking, evaluation())
    with pytest.raises(DataSetUnusable, match=f"z.png = {sample.file}"):
        built(tmp_path, "clean", "int8", calibration=leaking)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda b: b[: len(b) // 2], "damaged|not an ONNX"),
        (lambda b: b"\x80\x04]q\x00.", "not an ONNX"),
        (lambda b: b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (lambda b: b"", "empty"),
    ],
    ids=["truncated", "pickle", "lfs", "empty"],
)
def test_a_source_that_is_no_sound_model_is_refused_before_any_builder_sees_it(
    tmp_path, harm, said
):
    folder = tmp_path / "source"
    shutil.copytree(DIGITS, folder)
    (folder / "model.onnx").write_bytes(harm((DIGITS / "model.onnx").read_bytes()))
    with pytest.raises(ModelUnusable, match=said):
        build_variant(a_request(a_build("clean"), folder=folder), a_shop(tmp_path / "w"), None)
    assert not (tmp_path / "w" / "rung-0").exists()


def hostile(tmp_path, location):
    folder = tmp_path / "source"
    shutil.copytree(DIGITS, folder)
    model = onnx.load(str(folder / "model.onnx"))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_weights_outside_the_folder_or_behind_a_link_are_refused(tmp_path, location):
    folder = hostile(tmp_path, location)
    if location == "weights.bin":
        os.symlink("/etc/passwd", folder / location)
    with pytest.raises(ModelUnusable, match="weights"):
        build_variant(a_request(a_build("clean"), folder=folder), a_shop(tmp_path / "w"), None)


def test_custom_operators_are_refused(tmp_path):
    folder = tmp_path / "source"
    shutil.copytree(DIGITS, folder)
    model = onnx.load(str(folder / "model.onnx"))
    model.graph.node[0].domain = "my.evil"
    model.opset_import.append(onnx.helper.make_opsetid("my.evil", 1))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelUnusable, match="foreign code"):
        build_variant(a_request(a_build("clean"), folder=folder), a_shop(tmp_path / "w"), None)


def test_a_file_that_is_not_beside_the_source_is_named(tmp_path):
    need_builders("onnx")
    request = a_request(a_build("clean", include=("labels.csv",)))
    with pytest.raises(ModelUnusable, match=r"`include` names labels\.csv"):
        build_variant(request, a_shop(tmp_path / "w"), None)


def test_samples_that_the_pipeline_cannot_read_are_named(tmp_path):
    need_builders("onnx")
    samples = [(f"{n}.png", b"no picture %d" % n, str(n % 2)) for n in range(400)]
    broken = datasets.read(a_dataset(tmp_path / "set", samples))
    with pytest.raises(ModelUnusable, match=r"0\.png cannot be shown to the model"):
        built(tmp_path, "clean", evaluation=broken)


@pytest.mark.slow
def test_tensor_samples_are_judged_like_files(tmp_path):
    need_builders("onnx")
    rng = np.random.default_rng(3)
    samples = [
        (f"{n}.bin", rng.standard_normal((1, 1, 64, 64)).astype("<f4").tobytes(), None)
        for n in range(310)
    ]
    folder = a_dataset(
        tmp_path / "set",
        samples,
        task="none",
        level="tensor",
        inputs=[{"name": "image", "dtype": "float32", "shape": [1, 1, 64, 64]}],
    )
    found, tree, _ = built(tmp_path, "fp16", evaluation=datasets.read(folder))
    assert found.report.task == "none"
    assert "accuracy" not in found.artifact.metadata["measures"]
    index = golden.decode((tree / golden.INDEX_PATH).read_bytes())
    assert {case.level for case in index.cases} == {"tensor"}


def test_a_set_that_only_disagrees_in_name_shares_the_derivation():
    one = a_request(a_build("clean"))
    two = replace(one, evaluation=replace(one.evaluation, folder=DIGITS))
    assert derivation_of(one).digest == derivation_of(two).digest
