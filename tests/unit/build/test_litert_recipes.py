"""LiteRT's recipes, from the lab's network as TFLite (`site/lab/model/to_tflite.py`), in the real builder."""

import shutil

import pytest
from support.building import DIGITS, ROOT, built_by, need_builders

from edgeform.domain.builds import Gate, Step
from edgeform_runtime import tflitefile
from edgeform_wire import golden

SOURCE = ROOT / "tests" / "cases" / "models" / "digits.tflite"
GATE = Gate(accuracy_drop=0.02, agreement=0.95, sqnr_db=15)
INTEGER_EDGES = Step(name="litert_int8", parameters=(("integer_edges", True),))


@pytest.fixture(autouse=True)
def _builders():
    need_builders("litert", engine="litert")


def built(tmp_path, step, name="w", gate=GATE):
    folder = tmp_path / name / "source"
    folder.mkdir(parents=True)
    shutil.copyfile(SOURCE, folder / "model.tflite")
    shutil.copyfile(DIGITS / "labels.txt", folder / "labels.txt")
    return built_by(
        "litert", tmp_path / name, step, gate=gate, source="model.tflite", folder=folder
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "precision", "edge"),
    [
        ("litert_fp16", "f16", "float32"),
        ("litert_int8_dynamic", "int8", "float32"),
        ("litert_int8", "int8", "float32"),
        (INTEGER_EDGES, "int8", "int8"),
    ],
    ids=["litert_fp16", "litert_int8_dynamic", "litert_int8", "litert_int8-integer_edges"],
)
def test_each_recipe_passes_and_gives_the_same_bytes_twice(tmp_path, step, precision, edge):
    one, tree = built(tmp_path, step)
    other, _ = built(tmp_path, step, name="again")
    assert one.artifact.digest == other.artifact.digest
    assert one.artifact.metadata["precision"] == precision
    assert one.report.taken.name == "as asked"
    assert (tree / "model.tflite").stat().st_size < SOURCE.stat().st_size
    file = tflitefile.inspect(str(tree / "model.tflite"))
    assert {dtype for _, dtype, _ in (*file.inputs, *file.outputs)} == {edge}
    cases = golden.decode((tree / golden.INDEX_PATH).read_bytes()).cases
    assert all(bool(case.fp32) == (edge == "float32") for case in cases)
