from dataclasses import replace

import pytest
from support.building import a_build, a_request

from edgeform.build import datasets
from edgeform.build.derivation import differences
from edgeform.build.variants import derivation_of
from edgeform.domain.artifacts import Variant
from edgeform.domain.build_request import request_of
from edgeform.domain.builds import SYNTHETIC, Gate, Step

BUILD = a_build("clean", "int8")


def changed(**more):
    build = more.pop("build", BUILD)
    variant = Variant(name="v", engine="onnxruntime", build=build)
    return a_request(build, **({"variant": variant} | more))


def fewer(found):
    return replace(found, samples=found.samples[:-1])


OTHERS = {
    "source": lambda: changed(source_digest="sha256:" + "2" * 64),
    "recipe": lambda: changed(build=a_build("int8")),
    "a parameter": lambda: changed(
        build=a_build("clean", Step(name="int8", parameters=(("samples", 7),)))
    ),
    "calibration": lambda: changed(calibration=fewer(a_request(BUILD).calibration)),
    "synthetic": lambda: changed(calibration=None, is_synthetic=True),
    "evaluation": lambda: changed(evaluation=fewer(a_request(BUILD).evaluation)),
    "gate": lambda: changed(build=a_build("clean", "int8", gate=Gate(sqnr_db=20))),
    "stages": lambda: changed(
        stages=a_request(BUILD).stages | {"postprocess": {"kind": "classify"}}
    ),
    "target": lambda: changed(
        variant=Variant(name="v", engine="onnxruntime", build=BUILD, accelerators=("cpu",))
    ),
    "include": lambda: changed(build=a_build("clean", "int8", include=())),
}


@pytest.mark.parametrize("what", OTHERS)
def test_each_input_makes_another_derivation(what):
    assert derivation_of(OTHERS[what]()).digest != derivation_of(changed()).digest


def test_where_it_is_built_and_how_data_sets_are_called_do_not_matter(tmp_path):
    elsewhere = replace(a_request(BUILD).evaluation, folder=tmp_path)
    same = changed(evaluation=elsewhere, build=replace(BUILD, evaluation="other/name"))
    assert derivation_of(same).digest == derivation_of(changed()).digest


def test_a_default_that_is_written_out_is_the_same_recipe():
    spelt = a_build("clean", Step(name="int8", parameters=(("per_channel", True),)))
    assert derivation_of(changed(build=spelt)).digest == derivation_of(changed()).digest


def test_the_builders_engine_and_samples_are_named_in_it():
    found = derivation_of(changed()).to_json()
    assert set(found["builders"]) == {"onnx", "evaluate-onnxruntime"}
    assert found["engine"]["name"] == "onnxruntime"
    assert found["calibration"] == datasets.read(a_request(BUILD).calibration.folder).digest
    assert derivation_of(changed(calibration=None, is_synthetic=True)).calibration == SYNTHETIC


def test_differences_are_told_with_old_and_new():
    old = derivation_of(changed()).to_json()
    new = derivation_of(
        changed(build=a_build("fp16", gate=Gate(agreement=0.9)), source_digest="sha256:" + "2" * 64)
    ).to_json()
    told = differences(old, new)
    assert "the source model: sha256:111111111111 -> sha256:222222222222" in told
    assert any(t.startswith("the recipe: clean > int8(") and t.endswith("-> fp16") for t in told)
    assert "the gate: agreement 0.98 -> 0.9" in told
    assert differences(old, old) == ()


def test_a_request_holds_what_a_plan_can_see_and_no_bytes_of_data():
    variant = Variant(name="v", engine="onnxruntime", build=BUILD)
    asked = request_of(variant, BUILD, "sha256:" + "1" * 64)
    assert asked == request_of(variant, BUILD, "sha256:" + "1" * 64)
    for other in (
        request_of(variant, BUILD, "sha256:" + "2" * 64),
        request_of(variant, replace(BUILD, evaluation="data/other"), "sha256:" + "1" * 64),
        request_of(variant, a_build("int8"), "sha256:" + "1" * 64),
        request_of(replace(variant, accelerators=("cpu",)), BUILD, "sha256:" + "1" * 64),
    ):
        assert other != asked
