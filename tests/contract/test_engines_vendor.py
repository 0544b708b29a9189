"""Engines that need a vendor's hardware: the same contract, against libraries that stand where the vendor's stand.

Contract only: what is shown is that edgeform calls the documented interface in a sound way, and what it does with
each answer. That the interface is really so, and what the hardware computes, only the hardware shows.
"""

import json
import os
import subprocess
import sys

import pytest
from support.engine_contract import BEHAVIOURS, Subject
from support.engines import TESTS, VENDOR, compiled, contract, own_lib, write_model

from edgeform_runtime.engines import probe

ENGINES = ("tensorrt", "hailort", "neuron")
BUILD = "edgeform_runtime.engines.tensorrt_build"
OPEN = """
import json, sys
from edgeform_runtime.engines import engine_of
from edgeform_runtime.engines.base import EngineConfig
from edgeform_runtime.errors import RuntimeFault
engine, model, config = json.loads(sys.argv[1])
try:
    print(json.dumps(engine_of(engine).open(model, EngineConfig(**config)).effective().to_json()))
except RuntimeFault as exc:
    print(json.dumps({"refused": exc.code, "summary": exc.summary}))
"""


def a_hef(kind, architecture=0):
    header = b"" if architecture == 0 else bytes([8, architecture])
    message = bytes([10, len(header)]) + header + bytes([26, 1]) + kind
    return b"\x01HEF" + bytes([0, 0, 0, 1, 0, 0, 0, len(message)]) + bytes(16) + message


class Bench:
    """A place with the vendors' libraries and models, and processes in it."""

    def __init__(self, root):
        self.root = root
        self.cache = root / "derived"
        self.own = own_lib(root / "own")
        compiled("libnrt.c", root / "libnrt.so.1")
        compiled("libcuda.c", root / "libcuda.so.1")
        write_model(probe.ONNX_MODEL, root / "model.onnx")
        write_model(probe.ONNX_MODEL.replace(b"probe", b"other"), root / "other.onnx")
        for kind in ("f", "r", "n"):
            write_model(a_hef(kind.encode()), root / f"{kind}.hef")
            write_model(b"NEFF-FOR-TESTS" + kind.encode(), root / f"{kind}.neff")
        write_model(a_hef(b"f", 3), root / "for-8l.hef")

    @property
    def paths(self):
        return (VENDOR / "python", self.own)

    def run(self, *arguments, **environment):
        return subprocess.run(
            (sys.executable, "-s", *map(str, arguments)),
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(map(str, (*self.paths, TESTS))),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LD_LIBRARY_PATH": str(self.root),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def open(self, engine, model, environment=None, **config):
        asked = json.dumps([engine, str(self.root / model), config])
        done = self.run("-c", OPEN, asked, **(environment or {}))
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    def build(self, *more, precision="f32", cache=None, model="model.onnx", **environment):
        done = self.run(
            *("-m", BUILD, "--model", self.root / model, "--cache", cache or self.cache),
            *("--precision", precision, *more),
            **environment,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    assert bench.build()[0] == 0
    return bench


@pytest.fixture(scope="session")
def kept(bench):
    subjects = {
        "tensorrt": Subject(
            engine="tensorrt",
            model=str(bench.root / "model.onnx"),
            provider="TensorRT",
            absent="CUDA",
            virtual="AUTO",
            cache_dir=str(bench.cache),
        ),
        "hailort": Subject(
            engine="hailort",
            model=str(bench.root / "f.hef"),
            provider="hailo-8",
            absent="hailo-8l",
            virtual="AUTO",
            precision="int8",
            impossible_precision="bf16",
            wrong_model=str(bench.root / "r.hef"),
        ),
        "neuron": Subject(
            engine="neuron",
            model=str(bench.root / "f.neff"),
            provider="neuron",
            absent="cuda",
            virtual="AUTO",
            wrong_model=str(bench.root / "r.neff"),
        ),
    }
    found = {}

    def of(engine):
        if engine not in found:
            found[engine] = contract(
                subjects[engine], *bench.paths, libraries=bench.root, python=sys.executable
            )
        return found[engine]

    return of


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_contract(kept, engine, behaviour):
    problem = kept(engine)[behaviour]
    assert problem is None, problem


@pytest.mark.parametrize(
    ("engine", "model", "environment", "words"),
    [
        ("neuron", "f.neff", {"NO_NEURON_DEVICE": "1"}, "does not start: status 13"),
        ("neuron", "n.neff", {}, "not finite"),
        ("neuron", "f.neff", {"LD_LIBRARY_PATH": "/nowhere"}, "aws-neuronx-runtime-lib"),
        ("hailort", "f.hef", {"NO_HAILO": "1"}, "no Hailo device answers"),
        (
            "hailort",
            "f.hef",
            {"HAILO_BOARD": "HAILO8L"},
            "compiled for hailo-8; this is a hailo-8l",
        ),
        ("hailort", "f.hef", {"HAILO_BOARD": "HAILO8_A0"}, "kind HAILO8_A0 is not known"),
        ("hailort", "n.hef", {}, "not finite"),
        ("tensorrt", "model.onnx", {"NO_GPU": "1"}, "CUDA error 100"),
        ("tensorrt", "model.onnx", {"LD_LIBRARY_PATH": "/nowhere"}, "driver library"),
    ],
)
def test_hardware_that_is_not_there_or_computes_wrongly_is_an_error(
    bench, engine, model, environment, words
):
    cache = {"cache_dir": str(bench.cache)} if engine == "tensorrt" else {}
    found = bench.open(engine, model, environment, **cache)
    assert found["refused"] == "engine"
    assert words in found["summary"]


def test_a_hailo_8_runs_what_was_compiled_for_the_8l(bench):
    assert bench.open("hailort", "for-8l.hef")["provider"] == "hailo-8"


def test_an_engine_is_built_with_an_estimate_progress_and_a_digest(bench, tmp_path):
    status, lines = bench.build(cache=tmp_path, model="other.onnx")
    assert status == 0
    first, *progress, last = lines
    assert (first["event"], first["is_cached"], first["seconds"]) == ("estimate", False, None)
    steps = [(p["phase"], p["done"], p["of"]) for p in progress]
    assert steps == [("Tactics", n, 3) for n in (0, 1, 2, 3, 3)]
    assert last["event"] == "built"
    assert last["digest"].startswith("sha256:")
    assert (tmp_path / f"{last['key']}.plan").stat().st_size == last["size_bytes"]


def test_a_second_build_takes_what_is_there_and_another_precision_has_an_estimate(bench, tmp_path):
    bench.build(cache=tmp_path, TRT_STEP_S="0.05")
    _, lines = bench.build(cache=tmp_path)
    assert [line["event"] for line in lines] == ["estimate", "built"]
    assert lines[0]["is_cached"]
    _, lines = bench.build("--describe", cache=tmp_path, precision="f16")
    assert [line["event"] for line in lines] == ["estimate"]
    assert lines[0]["seconds"] >= 0.1


@pytest.mark.parametrize(
    "environment", [{"TRT_VERSION": "10.4.0"}, {"GPU_NAME": "Orin Nano"}], ids=["version", "gpu"]
)
def test_another_version_or_gpu_means_another_engine(bench, environment):
    known = bench.build("--describe")[1][0]
    other = bench.build("--describe", **environment)[1][0]
    assert known["is_cached"]
    assert not other["is_cached"]
    assert known["key"] != other["key"]
    found = bench.open("tensorrt", "model.onnx", environment, cache_dir=str(bench.cache))
    assert found["refused"] == "engine"
    assert "has not been built on this device" in found["summary"]


def test_another_precision_means_another_engine_with_the_builders_flags(bench, tmp_path):
    keys = set()
    for precision, flags in (("f32", b""), ("f16", b"FP16,TF32"), ("bf16", b"BF16,TF32")):
        _, lines = bench.build(precision=precision, cache=tmp_path)
        keys.add(lines[-1]["key"])
        plan = (tmp_path / f"{lines[-1]['key']}.plan").read_bytes()
        assert plan.endswith(b"\n" + flags)
    assert len(keys) == 3


def test_an_engine_that_was_changed_afterwards_is_refused_and_built_again(bench, tmp_path):
    key = bench.build(cache=tmp_path)[1][-1]["key"]
    plan = tmp_path / f"{key}.plan"
    plan.write_bytes(plan.read_bytes() + b"!")
    found = bench.open("tensorrt", "model.onnx", cache_dir=str(tmp_path))
    assert "is not the one that was built here" in found["summary"]
    # The probe model is this very model, so one build mends both.
    assert bench.build(cache=tmp_path)[0] == 0
    assert bench.open("tensorrt", "model.onnx", cache_dir=str(tmp_path))["provider"] == "TensorRT"


@pytest.mark.parametrize(
    ("environment", "precision", "words"),
    [
        ({"TRT_FAILS": "1"}, "f32", "could not build the engine"),
        ({}, "int8", "is not quantised"),
        ({}, "f4", "no precision f4"),
        ({"NO_GPU": "1"}, "f32", "no GPU answers"),
    ],
)
def test_a_build_that_cannot_be_says_why(bench, tmp_path, environment, precision, words):
    status, lines = bench.build(cache=tmp_path, precision=precision, **environment)
    assert status == 3
    assert lines[-1]["event"] == "failed"
    assert words in lines[-1]["summary"]
    assert list(tmp_path.glob("*.plan")) == []
