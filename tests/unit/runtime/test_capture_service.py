"""Sources in the real daemon: from what a camera or a sensor gives to a stored result."""

import json
import os
import pty
import socket
import subprocess
import sys
import time

import av
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from support.runtime import SCENES, a_pipeline_file, running, some_stages

from edgeform_runtime import model
from edgeform_runtime.errors import PipelineInvalid

LOUD = "loud"


def results_of(prefix):
    folder = prefix.path / "results" / "gate"
    if not folder.exists():
        return []
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def wait_for_results(prefix, count, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while len(found := results_of(prefix)) < count:
        assert time.monotonic() < deadline, f"{len(found)} results in {timeout_s} s"
        time.sleep(0.05)
    return found


def a_sensor_model(prefix, rows, columns):
    """[quiet, loud]: the mean square of a window decides; above 1 it is loud."""
    shape = [1, rows, columns]
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["power"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["power", "signs"], ["moved"]),
        helper.make_node("Add", ["moved", "shift"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loudness",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [
            helper.make_tensor("signs", TensorProto.FLOAT, [1, 2], [-1.0, 1.0]),
            helper.make_tensor("shift", TensorProto.FLOAT, [1, 2], [2.0, 0.0]),
        ],
    )
    opsets = [helper.make_opsetid("", 13)]
    tree = prefix.path / "trees" / "model"
    tree.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=7), tree / "model.onnx")
    (tree / "labels.txt").write_text(f"quiet\n{LOUD}\n")


def a_film_of_digits(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.pix_fmt = "bgr0"
        first = Image.open(min(SCENES.glob("*.png"))).convert("RGB")
        stream.width, stream.height = first.size
        for scene in sorted(SCENES.glob("*.png"))[:6]:
            pixels = np.asarray(Image.open(scene).convert("RGB").resize(first.size))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_a_film_gives_the_same_results_as_its_pictures(prefix):
    """Lossless video in place of files: capture, decoding and preprocessing change no answer."""
    prefix.put_model()
    a_film_of_digits(prefix.path / "film.mkv")
    capture = {"kind": "video_file", "path": "film.mkv", "pace": "fast", "repeat": False}
    file = a_pipeline_file(stages=some_stages(capture=capture))
    with running(prefix, prefix.put_pipeline(file)) as daemon:
        found = wait_for_results(prefix, 6)
        _, text = daemon.http().get("/metrics")
        assert b'edgeform_capture_source_up{pipeline="gate"} 1' in text
        assert daemon.stop() == 0
    assert [r["frame"] for r in found] == [f"film.mkv#{n}" for n in range(1, 7)]
    with running(prefix, prefix.put_pipeline(a_pipeline_file()), name="again") as daemon:
        for scene, result in zip(sorted(SCENES.glob("*.png"))[:6], found, strict=True):
            with daemon.control() as control:
                answer = control.ok("infer", scene.read_bytes(), slot="live", level="encoded")
            best, filmed = answer["result"]["classes"][0], result["result"]["classes"][0]
            assert filmed["label"] == best["label"]
            assert filmed["score"] == pytest.approx(best["score"], abs=1e-4)


def test_vibration_at_a_serial_port_becomes_windows_and_results(prefix):
    a_sensor_model(prefix, rows=8, columns=2)
    ours, theirs = pty.openpty()
    capture = {"kind": "serial", "path": os.ttyname(theirs), "channels": 2, "window": 8}
    stages = some_stages(
        capture=capture,
        preprocess=[
            {"kind": "z_score", "per": "given", "mean": [10.0, 20.0], "std": [2.0]},
            {"kind": "layout", "order": "ntc"},
        ],
    )
    file = a_pipeline_file(stages=stages)
    try:
        with running(prefix, prefix.put_pipeline(file)) as daemon:
            daemon.wait_for(lambda _: any(r["event"] == "capture_found" for r in daemon.log()))
            for n in range(24):
                swing = 4 * (-1) ** n if n >= 16 else 0
                os.write(ours, f"{10 + swing},{20 + swing}\n".encode())
            found = wait_for_results(prefix, 3)
            assert daemon.stop() == 0
    finally:
        os.close(theirs)
        os.close(ours)
    best = [r["result"]["classes"][0]["label"] for r in found]
    assert best == ["quiet", "quiet", LOUD]


def test_a_source_that_is_away_leaves_the_service_up_and_says_so(prefix):
    prefix.put_model()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    capture = {"kind": "video_stream", "url": f"rtsp://127.0.0.1:{port}/main"}
    file = a_pipeline_file(stages=some_stages(capture=capture))
    with running(prefix, prefix.put_pipeline(file)) as daemon:
        state = daemon.wait_for(lambda s: s["last_error"])
        assert state["phase"] == "ready"
        assert "Connection refused" in state["last_error"]
        _, text = daemon.http().get("/metrics")
        assert b'edgeform_capture_lost_total{pipeline="gate",reason="unreachable"}' in text
        assert daemon.stop() == 0


def test_series_that_the_model_does_not_take_are_refused_when_it_is_loaded(prefix):
    a_sensor_model(prefix, rows=8, columns=2)
    capture = {"kind": "modbus", "host": "127.0.0.1", "address": 0, "count": 3, "window": 8}
    stages = some_stages(capture=capture, preprocess=[{"kind": "layout", "order": "ntc"}])
    file = a_pipeline_file(stages=stages)
    with pytest.raises(
        PipelineInvalid, match=r"is float32\[1, 8, 3\], the model takes float32\[1, 8, 2\]"
    ):
        model.load(str(prefix.path), file)


def test_texts_posted_to_a_pipeline_for_pictures_fail_alone(daemon):
    status, _, _ = daemon.http().post("/v1/frames", b"not a picture")
    assert status == 202
    state = daemon.wait_for(lambda s: s["frames"]["failed"] == 1)
    assert state["phase"] == "ready"


def test_no_package_of_a_source_is_imported_unless_it_is_used():
    code = (
        "import sys; import edgeform_runtime.daemon, edgeform_runtime.stages.sources;"
        " print(sorted({'av', 'paho', 'serial', 'pymodbus'} & set(sys.modules)))"
    )
    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
