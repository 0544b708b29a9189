"""The steps themselves, run by this environment's own packages: what they refuse, and that limits hold."""

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from support.building import DIGITS

from edgeform.build.failure import BuildFailed, ModelUnusable
from edgeform.build.jobs import JobLimits, run_job
from edgeform.domain.builds import Step
from edgeform.domain.recipes import KINDS

onnx = pytest.importorskip("onnx", reason="the development environment has onnx")
HAS_INT4 = importlib.util.find_spec("onnx_ir") is not None


def step(folder, name, model=DIGITS / "model.onnx", extra=None, **limits):
    (folder / "in").mkdir(parents=True)
    shutil.copyfile(model, folder / "in" / "model.onnx")
    kind = KINDS.get(name)
    parameters = kind.parameters_of(Step(name=name)) if kind else {}
    job = {"step": name, "parameters": parameters, "source": "model.onnx", "extra": extra or {}}
    return run_job(
        Path(sys.executable), folder, job, what=f"Step {name}", limits=JobLimits(**limits)
    )


def a_network(path, *nodes, weights=(), shape=(1, 4), gives=(1, 4)):
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        list(nodes),
        "g",
        [onnx.helper.make_tensor_value_info("x", kind, shape)],
        [onnx.helper.make_tensor_value_info("y", kind, gives)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )
    return path


def test_cleaning_keeps_edges_and_answers_and_gives_names_that_follow_from_the_graph(tmp_path):
    one = step(tmp_path / "a", "clean")
    renamed = onnx.load(str(DIGITS / "model.onnx"))
    for number, node in enumerate(renamed.graph.node):
        node.name = f"counter_{37_616 - number}"
    (tmp_path / "renamed.onnx").write_bytes(renamed.SerializeToString())
    step(tmp_path / "b", "clean", tmp_path / "renamed.onnx")
    first, second = ((tmp_path / n / "out" / "model.onnx").read_bytes() for n in "ab")
    assert first == second
    cleaned = onnx.load_from_string(first)
    assert [i.name for i in cleaned.graph.input] == ["image"]
    assert [o.name for o in cleaned.graph.output] == ["logits"]
    assert one.notes == ("63 nodes, 37 after cleaning",)


def test_what_comes_out_is_sorted_as_onnx_demands_also_where_a_tool_appends(tmp_path):
    """The FP16 conversion puts the casts of inputs behind their users."""
    step(tmp_path / "a", "fp16")
    onnx.checker.check_model(str(tmp_path / "a" / "out" / "model.onnx"), full_check=True)


def test_memory_is_limited_from_inside_as_well(tmp_path):
    with pytest.raises(BuildFailed, match=r"took too much memory|crashed|failed"):
        step(tmp_path / "a", "clean", memory_bytes=40_000_000)


def test_a_step_that_the_builder_does_not_have_is_refused_by_name(tmp_path):
    with pytest.raises(ModelUnusable, match="this builder has no step 'polish'"):
        step(tmp_path / "a", "polish")


@pytest.mark.parametrize("name", ["clean", "fp16", "int8_dynamic"])
def test_what_is_no_model_is_refused_and_not_a_crash(tmp_path, name):
    (tmp_path / "bad.onnx").write_bytes(b"\x80\x04]q\x00.")
    with pytest.raises(ModelUnusable, match=r"no ONNX file|no sound ONNX"):
        step(tmp_path / "a", name, tmp_path / "bad.onnx")


def test_a_network_without_weights_has_nothing_to_quantise(tmp_path):
    relu = onnx.helper.make_node("Relu", ["x"], ["y"])
    model = a_network(tmp_path / "m.onnx", relu)
    with pytest.raises(ModelUnusable, match="nothing can be quantised"):
        step(tmp_path / "a", "int8_dynamic", model)


@pytest.mark.skipif(not HAS_INT4, reason="onnx_ir is in the builder and not in this environment")
def test_int4_refuses_a_network_of_convolutions_and_says_what_it_touches(tmp_path):
    weights = [("w", np.ones((4, 1, 3, 3), np.float32))]
    conv = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    model = a_network(
        tmp_path / "m.onnx", conv, weights=weights, shape=(1, 1, 8, 8), gives=(1, 4, 6, 6)
    )
    with pytest.raises(
        ModelUnusable, match="INT4 touches MatMul and Gemm only, and the network has Conv"
    ):
        step(tmp_path / "a", "int4", model)
