"""OpenVINO's recipes, built in the real builder and judged in the real engine."""

import pytest
from support.building import built_by, judged_as_planned, need_builders

from edgeform.domain.builds import Gate, Step
from edgeform.domain.hardware import Engine

GATE = Gate(accuracy_drop=0.02, agreement=0.95, sqnr_db=15)
MIXED = Step(name="nncf_int8", parameters=(("mixed", True), ("samples", 0)))


def built(tmp_path, *steps, name="w", gate=GATE):
    need_builders("openvino", engine="openvino")
    return built_by("openvino", tmp_path / name, *steps, gate=gate)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "precision", "least_db"),
    [
        ("ir_fp16", "f16", 40),
        ("nncf_int8", "int8", 15),
        (MIXED, "int8", 15),
        ("nncf_int4", "int4", 15),
    ],
    ids=["ir_fp16", "nncf_int8", "nncf_int8-mixed", "nncf_int4"],
)
def test_each_recipe_passes_and_gives_the_same_bytes_twice(tmp_path, step, precision, least_db):
    one, tree = built(tmp_path, step)
    other, _ = built(tmp_path, step, name="again")
    assert one.artifact.digest == other.artifact.digest
    assert one.artifact.metadata["precision"] == precision
    assert one.report.taken.name == "as asked"
    assert one.report.taken.figures["sqnr_db"] >= least_db
    assert (tree / "model.bin").is_file()
    assert any(note.startswith("goldens: ") for note in one.report.taken.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "provider", "step"),
    [(Engine.OPENVINO, "CPU", "ir_fp16"), (Engine.ONNXRUNTIME, "CPUExecutionProvider", "fp16")],
)
def test_a_variant_in_fp16_runs_as_planned_and_passes_its_goldens(tmp_path, engine, provider, step):
    need_builders("openvino", "onnx", engine=engine)
    found, tree = built_by(engine, tmp_path / "w", step, gate=GATE)
    asked, verdicts = judged_as_planned(engine, provider, found, tree, tmp_path / "device")
    assert asked == "f16"
    assert verdicts == {"configuration": "pass", "golden": "pass", "repeat": "pass"}
