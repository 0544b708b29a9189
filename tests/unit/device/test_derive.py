"""Building on the device: the real builder against a library that stands where TensorRT stands."""

import json
import sys
import time

import pytest
from support.engines import VENDOR, compiled, own_lib

from edgeform_device import derive
from edgeform_device.errors import Refused
from edgeform_device.layout import Layout
from edgeform_runtime.engines import probe
from edgeform_wire.digest import of_bytes
from edgeform_wire.generation import Generation, PipelineUse

RUNTIME, MODEL = of_bytes(b"runtime"), of_bytes(b"model")


def a_generation(engine="tensorrt", precision="f16"):
    stages = {"runtime": {"threads": 1, "provider": "TensorRT", "precision": precision}}
    use = PipelineUse("gate", RUNTIME, MODEL, engine, stages, {}, {})
    return Generation(site="lab", device="cam-01", artifacts=(), pipelines=(use,))


@pytest.fixture
def layout(tmp_path, monkeypatch):
    """A prefix with a runtime's tree whose Python has the vendor's package, and a model."""
    layout = Layout(str(tmp_path / "prefix"), str(tmp_path / "run"))
    runtime = tmp_path / "prefix" / "trees" / RUNTIME[7:]
    lib = own_lib(runtime / "lib")
    (lib / "tensorrt").symlink_to(VENDOR / "python" / "tensorrt")
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    compiled("libcuda.c", libraries / "libcuda.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    python = runtime / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    model = tmp_path / "prefix" / "trees" / MODEL[7:]
    model.mkdir()
    (model / "model.onnx").write_bytes(probe.ONNX_MODEL.replace(b"probe", b"other"))
    (tmp_path / "prefix" / "state").mkdir()
    return layout


def test_an_engine_is_built_once_and_its_digest_is_given(layout, tmp_path):
    first = derive.derived(layout, a_generation())
    ((key, digest),) = first.items()
    assert of_bytes((tmp_path / "prefix" / "derived" / f"{key}.plan").read_bytes()) == digest
    told = json.loads((tmp_path / "prefix" / "state" / derive.PROGRESS).read_text())
    assert (told["pipeline"], told["event"], told["key"]) == ("gate", "built", key)
    written = (tmp_path / "prefix" / "derived" / f"{key}.plan").stat().st_mtime_ns
    assert derive.derived(layout, a_generation()) == first
    assert (tmp_path / "prefix" / "derived" / f"{key}.plan").stat().st_mtime_ns == written


def test_engines_that_need_no_building_start_nothing(layout):
    def run(command, limit_s):
        raise AssertionError(command)

    assert derive.derived(layout, a_generation("onnxruntime"), run) == {}


def test_a_failed_build_is_a_refusal_with_the_builders_words(layout, monkeypatch):
    monkeypatch.setenv("TRT_FAILS", "1")
    with pytest.raises(Refused, match="tensorrt engine of gate could not be built here") as caught:
        derive.derived(layout, a_generation())
    assert "could not build the engine" in caught.value.detail


def test_a_build_that_takes_too_long_is_ended(layout, monkeypatch, tmp_path):
    monkeypatch.setenv("TRT_STEP_S", "30")
    started = time.monotonic()
    with pytest.raises(Refused, match="more than its limit of 1 s"):
        derive.derived(layout, a_generation(), limit_s=1.0)
    assert time.monotonic() - started < 10
    assert list((tmp_path / "prefix" / "derived").glob("*.json")) == []


def test_a_builder_that_dies_is_told_with_its_last_words():
    script = "import sys; print('noise'); print('{\"event\": \"progress\"}'); sys.exit('no memory')"
    lines = list(derive.lines_of((sys.executable, "-c", script), 20.0))
    assert lines == [{"event": "progress"}, {"event": "failed", "summary": "no memory"}]


def test_a_builder_that_is_not_there_is_refused():
    with pytest.raises(Refused, match="cannot be run"):
        list(derive.lines_of(("/nowhere/python3",), 5.0))
