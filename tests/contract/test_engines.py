"""The engines that run on a CPU: one contract, with the real packages, in the closures that devices get."""

import json
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
from support import tflitefile
from support.engine_contract import BEHAVIOURS, EXPECTED, GIVEN, Subject
from support.engines import (
    base_python,
    closure_lib,
    compiled,
    contract,
    in_closure,
    own_lib,
    write_model,
)
from support.runtime import Prefix, a_pipeline_file, running, some_stages

from edgeform_runtime.engines import probe

ENGINES = ("onnxruntime", "openvino", "litert", "tflite")
_CHOICES = {
    "onnxruntime": ("CPUExecutionProvider", "CUDAExecutionProvider", "NoSuch"),
    "openvino": ("CPU", "GPU", "AUTO"),
    "litert": ("CPU", "vx", "nnapi"),
    "tflite": ("CPU", "edgetpu", "/tmp/libedgetpu.so.1"),
}
ASK = """
import json, sys
from edgeform_runtime.engines import engine_of
from edgeform_runtime.engines.base import EngineConfig
from edgeform_runtime.errors import RuntimeFault
import numpy as np
engine, model, config, given = json.loads(sys.argv[1])
try:
    session = engine_of(engine).open(model, EngineConfig(**config))
except RuntimeFault as exc:
    print(json.dumps({"refused": exc.code, "summary": exc.summary}))
else:
    spec = session.inputs[0]
    answer = {"effective": session.effective().to_json(), "inputs": [vars(s) for s in session.inputs]}
    if given is not None:
        fed = {spec.name: np.asarray(given, spec.dtype)}
        answer["answer"] = {k: v.ravel().tolist() for k, v in session.infer(fed).items()}
    print(json.dumps(answer))
"""


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    return own_lib(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def lib(request):
    """The closure of an engine, by its name."""
    return lambda engine: closure_lib(engine, request.config.cache.mkdir("edgeform-closures"))


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(probe.ONNX_MODEL, folder / "probe.onnx")
    write_model(tflitefile.probe_model(), folder / "probe.tflite")
    write_model(tflitefile.quantised_model(), folder / "int8.tflite")
    write_model(tflitefile.edgetpu_model(), folder / "edgetpu.tflite")
    return folder


@pytest.fixture(scope="session")
def kept(lib, own, models):
    """What each engine made of each behaviour; asked once."""
    found = {}

    def of(engine):
        if engine not in found:
            provider, absent, virtual = _CHOICES[engine]
            ending = "tflite" if engine in ("litert", "tflite") else "onnx"
            subject = Subject(
                engine=engine,
                model=str(models / f"probe.{ending}"),
                provider=provider,
                absent=absent,
                virtual=virtual,
            )
            found[engine] = contract(subject, own, lib(engine))
        return found[engine]

    return of


@pytest.fixture
def ask(lib, own):
    def of(engine, model, given=None, libraries=None, **config):
        done = in_closure(
            ("-c", ASK, json.dumps([engine, str(model), config, given])),
            own,
            lib(engine),
            libraries=libraries,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return of


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_contract(kept, engine, behaviour):
    problem = kept(engine)[behaviour]
    assert problem is None, problem


def test_the_probe_model_for_tflite_is_the_one_its_description_gives():
    assert tflitefile.probe_model() == probe.TFLITE_MODEL
    assert len(probe.TFLITE_MODEL) < 1024
    assert len(probe.ONNX_MODEL) < 1024


@pytest.fixture(scope="session")
def delegates(tmp_path_factory):
    """Two delegates that TFLite loads: one takes every operator, one takes none."""
    folder = tmp_path_factory.mktemp("delegates")
    compiled("tflite_delegate.c", folder / "libtakes_all.so.1", "-DTAKES=1")
    compiled("tflite_delegate.c", folder / "libtakes_none.so.1", "-DTAKES=0")
    return folder


@pytest.mark.parametrize("engine", ["litert", "tflite"])
@pytest.mark.parametrize("model", ["probe.tflite", "int8.tflite"])
def test_a_delegate_that_takes_nothing_is_an_error_although_the_cpu_would_answer(
    ask, models, delegates, engine, model
):
    found = ask(engine, models / model, libraries=delegates, provider="libtakes_none.so.1")
    assert found["refused"] == "engine"
    assert "took none of the model's" in found["summary"]


@pytest.mark.parametrize("engine", ["litert", "tflite"])
@pytest.mark.parametrize("model", ["probe.tflite", "int8.tflite", "edgetpu.tflite"])
def test_a_delegate_that_takes_the_model_is_in_effect_and_says_how_much(
    ask, models, delegates, engine, model
):
    found = ask(engine, models / model, libraries=delegates, provider="libtakes_all.so.1")
    effective = found["effective"]
    total = 2 if model == "probe.tflite" else 1
    assert effective["delegate"] == f"libtakes_all.so.1: {total} of {total} operators"
    assert effective["device"] == "accelerator"
    assert effective["provider"] == "libtakes_all.so.1"


def test_a_model_compiled_for_the_edge_tpu_does_not_open_without_it(ask, models):
    found = ask("tflite", models / "edgetpu.tflite", provider="CPU")
    assert found["refused"] == "model"
    assert "edgetpu-custom-op" in found["summary"]


@pytest.mark.parametrize("engine", ["litert", "tflite"])
def test_integers_outside_come_with_scale_and_zero_point(ask, models, engine):
    found = ask(engine, models / "int8.tflite", [[0, 1, -10, 120]])
    (spec,) = found["inputs"]
    assert (spec["dtype"], spec["scale"], spec["zero_point"]) == ("int8", 0.25, -10)
    assert found["answer"]["y"] == [4, 5, -6, 124]
    assert found["effective"]["precision"] == "int8"


def a_network(path: Path) -> Path:
    """A convolution: what OpenVINO would take bf16 for, where the CPU has it."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(3).normal(size=(8, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 14, 14])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    return path


def test_openvino_computes_in_f32_unless_another_precision_is_named(ask, tmp_path):
    model = a_network(tmp_path / "conv.onnx")
    assert ask("openvino", model)["effective"]["precision"] == "f32"
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("f32 was seen; bf16 needs a CPU with avx512_bf16")
    assert ask("openvino", model, precision="bf16")["effective"]["precision"] == "bf16"


LEFT_ALONE = """
import sys
from edgeform_runtime.engines import openvino
from edgeform_runtime.engines.base import EngineConfig
from edgeform_runtime.errors import EngineUnavailable
openvino.HINTS["f32"] = "bf16"  # what the engine chose by itself before it was pinned
try:
    openvino.load().open(sys.argv[1], EngineConfig())
except EngineUnavailable as exc:
    print(exc.summary)
"""


def test_a_compiled_model_that_is_narrower_than_asked_is_refused(lib, own, tmp_path):
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs a CPU with avx512_bf16")
    model = a_network(tmp_path / "conv.onnx")
    done = in_closure(("-c", LEFT_ALONE, str(model)), own, lib("openvino"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "parts of the compiled model compute in bf16" in done.stdout


def test_an_ir_whose_weights_are_a_link_is_refused(ask, tmp_path):
    (tmp_path / "model.xml").write_text("<net/>")
    (tmp_path / "model.bin").symlink_to("/etc/hostname")
    found = ask("openvino", tmp_path / "model.xml")
    assert found == {"refused": "model", "summary": "model.bin is not an ordinary file"}


def test_numpy_2_under_tflite_runtime_is_found_by_the_self_test(lib, own, models):
    """Its metadata allows it and it imports; the first model fails."""
    done = in_closure(
        ("-c", ASK, json.dumps(["tflite", str(models / "probe.tflite"), {}, None])),
        own,
        Path(lib("litert")),  # numpy 2 comes first
        Path(lib("tflite")),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["refused"] == "engine"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_closure_of_another_engine_says_what_is_missing(own, lib, models, engine):
    other = "litert" if engine != "litert" else "openvino"
    done = in_closure(
        ("-c", ASK, json.dumps([engine, str(models / "probe.onnx"), {}, None])),
        own,
        lib(other),
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["refused"] == "engine"
    assert f"engine {engine} cannot be loaded" in found["summary"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_daemon_serves_a_model_from_the_closure_as_it_is_shipped(lib, own, models, engine):
    """The whole way once per engine: pipeline file, entry, self test, threads, state, inference."""
    root = Path(tempfile.mkdtemp(prefix="efe-"))  # socket addresses are at most 107 bytes
    prefix = Prefix(root)
    ending = "tflite" if engine in ("litert", "tflite") else "onnx"
    tree = root / "trees" / "model"
    tree.mkdir(parents=True)
    shutil.copyfile(models / f"probe.{ending}", tree / f"model.{ending}")
    stages = some_stages(
        preprocess=[],
        postprocess={"kind": "classify", "top_k": 1},
        runtime={"threads": 1, "provider": _CHOICES[engine][0], "precision": "f32"},
    )
    file = a_pipeline_file(engine=engine, stages=stages)
    environ = {"PYTHONPATH": f"{own}:{lib(engine)}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        with running(
            prefix, prefix.put_pipeline(file), environ=environ, python=(base_python(), "-s")
        ) as daemon:
            effective = daemon.state()["effective"]
            assert effective["provider"] == _CHOICES[engine][0]
            assert effective["probe"] == f"right on {_CHOICES[engine][0]}"
            described = [{"name": "x", "dtype": "float32", "shape": [1, 4]}]
            with daemon.control() as control:
                answer, body = control.ask(
                    "infer",
                    struct.pack("<4f", *GIVEN),
                    slot="live",
                    level="tensor",
                    inputs=described,
                )
            assert answer["ok"], answer
            assert struct.unpack("<4f", body) == EXPECTED
    finally:
        shutil.rmtree(root)
