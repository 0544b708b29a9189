import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.runtime import MODEL, a_pipeline_file, running, some_stages

from edgeform_runtime import errors
from edgeform_runtime.engines import engine_of, probe
from edgeform_runtime.engines import onnxruntime as adapter
from edgeform_runtime.engines.base import EngineConfig


def test_the_probe_model_is_the_one_that_onnx_makes_from_its_description():
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(np.array([1, 2, 3, 4], np.float32), "w"),
            numpy_helper.from_array(np.full(4, 0.5, np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    assert model.SerializeToString() == probe.ONNX_MODEL
    assert len(probe.ONNX_MODEL) < 1024


def test_an_engine_that_computes_wrongly_is_not_there(monkeypatch):
    monkeypatch.setattr(probe, "OUTPUT", (1.5, -3.5, 1.25, 32.0))
    with pytest.raises(errors.EngineUnavailable, match="answers the probe model wrongly"):
        engine_of("onnxruntime").open(str(MODEL / "model.onnx"), EngineConfig())


@pytest.mark.parametrize(
    "name", ["CUDAExecutionProvider", "cuda", "TensorrtExecutionProvider", "NoSuch"]
)
def test_a_provider_that_is_not_there_is_refused_and_the_cpu_does_not_step_in(name):
    with pytest.raises(errors.EngineUnavailable, match="was asked for; this closure's onnxruntime"):
        engine_of("onnxruntime").open(str(MODEL / "model.onnx"), EngineConfig(provider=name))


def test_a_session_that_silently_runs_elsewhere_is_refused(monkeypatch):
    """The list of providers says yes, the session says no: what a broken driver looks like."""
    monkeypatch.setattr(
        adapter.ort,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    config = EngineConfig(provider="CUDAExecutionProvider")
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(errors.EngineUnavailable, match="explicitly disabled"),
    ):
        engine_of("onnxruntime").open(str(MODEL / "model.onnx"), config)


def test_effective_says_what_runs():
    session = engine_of("onnxruntime").open(str(MODEL / "model.onnx"), EngineConfig(threads=2))
    assert session.effective().to_json() == {
        "provider": "CPUExecutionProvider",
        "precision": "f32",
        "threads": 2,
        "device": "cpu",
        "delegate": None,
        "probe": "right on CPUExecutionProvider",
    }
    session.close()


def test_a_precision_that_the_engine_cannot_give_is_refused():
    with pytest.raises(errors.EngineUnavailable, match="precision int8"):
        engine_of("onnxruntime").open(str(MODEL / "model.onnx"), EngineConfig(precision="int8"))


def test_answers_are_bitwise_repeatable_and_owned_by_the_caller():
    session = engine_of("onnxruntime").open(str(MODEL / "model.onnx"), EngineConfig())
    feeds = {"image": np.random.default_rng(1).normal(size=(1, 1, 64, 64)).astype(np.float32)}
    first = session.infer(feeds)["logits"]
    kept = first.copy()
    for _ in range(20):
        assert (session.infer(feeds)["logits"] == kept).all()
    assert (first == kept).all()


def test_the_engines_own_errors_become_ours():
    session = engine_of("onnxruntime").open(str(MODEL / "model.onnx"), EngineConfig())
    with pytest.raises(errors.InferenceFailed, match="onnxruntime"):
        session.infer({"image": np.zeros((1, 1, 8, 8), np.float32)})
    with pytest.raises(errors.InferenceFailed, match="onnxruntime"):
        session.infer({"wrong": np.zeros((1, 1, 64, 64), np.float32)})


def test_a_file_that_only_looks_like_a_model_is_refused(tmp_path):
    content = (MODEL / "model.onnx").read_bytes()
    place = content.index(b"Conv")
    (tmp_path / "model.onnx").write_bytes(content[:place] + b"Cxnv" + content[place + 4 :])
    with pytest.raises(errors.ModelRefused, match="onnxruntime cannot open model"):
        engine_of("onnxruntime").open(str(tmp_path / "model.onnx"), EngineConfig())


def test_other_engines_are_named_as_unknown_here():
    with pytest.raises(errors.EngineUnavailable, match="'caffe' is unknown here"):
        engine_of("caffe")


def test_the_daemon_on_a_missing_provider_says_failed_and_ends(prefix):
    prefix.put_model()
    stages = some_stages(runtime={"threads": 1, "provider": "CUDAExecutionProvider"})
    path = prefix.put_pipeline(a_pipeline_file(stages=stages))
    with running(prefix, path, wait=False) as daemon:
        assert daemon.process.wait(30) == 3
        record = daemon.log()[-1]
    assert (record["event"], record["code"]) == ("failed", "engine")
    assert "CUDAExecutionProvider was asked for" in record["detail"]


def test_a_model_behind_a_link_is_not_followed_out_of_the_prefix(prefix, tmp_path):
    shutil.copytree(MODEL, tmp_path / "elsewhere")
    (prefix.path / "trees").mkdir()
    (prefix.path / "trees" / "model").symlink_to(tmp_path / "elsewhere")
    with running(prefix, prefix.put_pipeline(a_pipeline_file()), wait=False) as daemon:
        assert daemon.process.wait(30) == 3
        assert "leads out of the prefix" in daemon.log()[-1]["detail"]


def test_the_engine_keeps_no_telemetry(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    lines = (
        "import sys",
        "from edgeform_runtime.engines.base import EngineConfig",
        "from edgeform_runtime.engines.onnxruntime import load",
        "load().open(sys.argv[1], EngineConfig()).close()",
    )
    subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(MODEL / "model.onnx")],
        env={"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=60,
    )
    assert list(home.rglob("*")) == []
