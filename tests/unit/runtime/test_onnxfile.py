import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.runtime import MODEL

from edgeform_runtime import onnxfile
from edgeform_runtime.errors import ModelRefused


def a_model(domain="", weight="float32", external=None, extra=()):
    weights = numpy_helper.from_array(np.arange(4, dtype=weight), "w")
    if external is not None:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=external)
    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}[weight]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"]), *extra],
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", 4])],
        [helper.make_tensor_value_info("y", kind, ["n", 4])],
        [weights],
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def written(tmp_path, model, name="model.onnx"):
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    return str(path)


def test_the_digit_model_is_described_as_onnx_describes_it():
    found = onnxfile.inspect(str(MODEL / "model.onnx"))
    model = onnx.load(MODEL / "model.onnx")
    assert found.inputs == [("image", "float32", (1, 1, 64, 64))]
    assert found.outputs == [("logits", "float32", (1, 10))]
    assert found.operators == {node.op_type for node in model.graph.node}
    assert found.opsets == {"": model.opset_import[0].version}
    assert found.precision == "f32"
    assert found.external == set()


def test_open_extents_are_minus_one_and_weights_are_no_inputs(tmp_path):
    model = a_model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    found = onnxfile.inspect(written(tmp_path, model))
    assert found.inputs == [("x", "float32", (-1, 4))]


def test_precision_is_what_the_file_computes_in(tmp_path):
    assert onnxfile.inspect(written(tmp_path, a_model(weight="float16"))).precision == "f16"
    quantised = a_model(extra=[helper.make_node("DequantizeLinear", ["a", "b", "c"], ["d"])])
    assert onnxfile.inspect(written(tmp_path, quantised)).precision == "int8"


def test_weights_beside_the_model_are_allowed(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(16))
    path = written(tmp_path, a_model(external="sub/w.bin"))
    assert onnxfile.inspect(path).external == {"sub/w.bin"}


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../w.bin", "outside its directory"),
        ("sub/../../w.bin", "outside its directory"),
        ("/etc/passwd", "no path of its own"),
        ("..\\w.bin", "no path of its own"),
        ("", "no path of its own"),
        ("./w.bin", "outside its directory"),
        ("absent.bin", "are missing"),
        ("link.bin", "a link or no plain file"),
        ("linked/w.bin", "a link or no plain file"),
        ("fifo", "a link or no plain file"),
        ("sub", "a link or no plain file"),
    ],
)
def test_weights_elsewhere_or_behind_links_are_refused(tmp_path, location, words):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "w.bin").write_bytes(bytes(16))
    inner = tmp_path / "model"
    (inner / "sub").mkdir(parents=True)
    (inner / "link.bin").symlink_to(outside / "w.bin")
    (inner / "linked").symlink_to(outside)
    os.mkfifo(inner / "fifo")
    with pytest.raises(ModelRefused, match=words):
        onnxfile.inspect(written(inner, a_model(external=location)))


def test_weights_hidden_in_a_subgraph_are_found(tmp_path):
    hidden = numpy_helper.from_array(np.arange(4, dtype=np.float32), "hidden")
    hidden.ClearField("raw_data")
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/hostname")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=hidden)],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])],
    )
    extra = helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch)
    with pytest.raises(ModelRefused, match="/etc/hostname"):
        onnxfile.inspect(written(tmp_path, a_model(extra=[extra])))


def test_foreign_operators_are_refused(tmp_path):
    with pytest.raises(ModelRefused, match=r"'evil\.corp' are not part of ONNX"):
        onnxfile.inspect(written(tmp_path, a_model(domain="evil.corp")))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
        (b"\x80\x04\x95pickle", "not an ONNX file"),
        (b"PK\x03\x04" + bytes(30), "not an ONNX file"),
        (b"TFL3" * 8, "not an ONNX file"),
        (b"\x08\x07", "no graph"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, content, words):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=words):
        onnxfile.inspect(str(path))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelRefused, match="no such file"):
        onnxfile.inspect(str(tmp_path / "model.onnx"))


def test_a_huge_shape_is_refused(tmp_path):
    model = a_model()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2**40
    with pytest.raises(ModelRefused, match="elements"):
        onnxfile.inspect(written(tmp_path, model))


def test_no_truncation_and_no_flipped_byte_raises_anything_else(tmp_path):
    whole = a_model(external="w.bin").SerializeToString()
    (tmp_path / "w.bin").write_bytes(bytes(16))
    path = tmp_path / "model.onnx"
    rng = np.random.default_rng(5)
    variants = [whole[:n] for n in range(len(whole))]
    for _ in range(2000):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = int(rng.integers(256))
        variants.append(bytes(damaged))
    for variant in variants:
        path.write_bytes(variant)
        try:
            onnxfile.inspect(str(path))
        except ModelRefused:
            continue


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_the_modules_without_numpy_run_on_every_python_found_here(version):
    """What the runtime needs before any engine is loaded, on interpreters with nothing installed."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    python = str(found[-1]) if found else shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"no Python {version} here")
    script = (
        "import sys\n"
        "import edgeform_runtime.control, edgeform_runtime.errors, edgeform_runtime.frames\n"
        "import edgeform_runtime.httpd, edgeform_runtime.notify, edgeform_runtime.pipeline\n"
        "from edgeform_runtime import onnxfile\n"
        "assert 'numpy' not in sys.modules\n"
        "print(onnxfile.inspect(sys.argv[1]).outputs)\n"
    )
    root = Path(onnxfile.__file__).parents[1]
    done = subprocess.run(
        (python, "-s", "-c", script, str(MODEL / "model.onnx")),
        env={"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[('logits', 'float32', (1, 10))]\n"
