"""Model artifacts: what is taken, what is refused, and with which sentence."""

import os
import shutil
import subprocess
import sys

import onnx
import pytest
from support.badmodels import break_model, nan_weights
from support.runtime import MODEL, some_stages

from edgeform.build.failure import ModelUnusable
from edgeform.build.goldens import GoldenRequest, complete_goldens
from edgeform.build.model import model_artifact
from edgeform_wire import artifact, golden


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model"
    shutil.copytree(MODEL, path)
    return path


def built(directory, **changes):
    fields = {"name": "digits", "version": "1.0.0", "variant": "onnx-f32"}
    return model_artifact(directory, **(fields | changes))


def test_the_checked_in_model_is_an_artifact_with_its_specs(sink):
    found = built(MODEL, precision="f32", measures={"accuracy": 0.97}, sink=sink)
    assert artifact.decode(found.encoded()) == found
    assert found.metadata == {
        "entry": "model.onnx",
        "engine": "onnxruntime",
        "precision": "f32",
        "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 1, 64, 64]}],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [1, 10]}],
        "measures": {"accuracy": 0.97},
    }
    assert {f.path for f in found.files} >= {"model.onnx", "labels.txt", "golden/index.json"}
    assert {p.name for p in sink.root.iterdir()} == {
        f.digest.removeprefix("sha256:") for f in found.files
    }
    assert built(MODEL, precision="f32", measures={"accuracy": 0.97}).digest == found.digest


def test_what_is_checked_in_stays_small():
    size = sum(p.stat().st_size for p in MODEL.rglob("*") if p.is_file())
    scenes = MODEL.parents[2] / "scenes"
    size += sum(p.stat().st_size for p in scenes.iterdir())
    assert size < 4_000_000
    assert (MODEL / "model.onnx").stat().st_size < 1_000_000


def write(name, content):
    def change(path):
        (path / name).write_bytes(content)

    return change


def remove(name):
    return lambda path: (path / name).unlink()


def link(name, target):
    return lambda path: (path / name).symlink_to(target)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove("model.onnx"), "There is no model.onnx"),
        (remove("golden/index.json"), "no goldens"),
        (remove("golden/tensor-00.in.bin"), "tensor-00.in.bin is missing"),
        (write("golden/tensor-00.in.bin", b"short"), "not 16384 bytes"),
        (write("golden/index.json", b"{}"), "goldens are damaged"),
        (write("model.onnx", b"\x80\x04K\x01."), "not an ONNX file"),
        (write("weights.pkl", b"x"), "can run code"),
        (write("op.so", b"x"), "can run code"),
        (write("data.bin", b"version https://git-lfs.github.com/spec/v1\n"), "git-lfs pointer"),
        (write("bad name.txt", b"x"), "outside the name grammar"),
        (write("LABELS.txt", b"x"), "one path where case is lost"),
        (link("extra.txt", "/etc/hostname"), "is a link"),
    ],
)
def test_a_directory_that_is_no_model_is_refused(model, change, words):
    change(model)
    with pytest.raises(ModelUnusable, match=words) as caught:
        built(model)
    assert caught.value.address
    assert caught.value.exit_code == 3


def test_a_fifo_is_refused_and_not_read(model):
    os.mkfifo(model / "pipe")
    with pytest.raises(ModelUnusable, match="no plain file"):
        built(model)


@pytest.mark.parametrize("place", ["../../secret.bin", "/etc/hostname", "link.bin"])
def test_a_model_that_reaches_out_of_its_folder_is_no_artifact(model, place):
    outside = model.parent / "secret.bin"
    outside.write_bytes(bytes(1 << 16))
    (model / "link.bin").symlink_to(outside)
    hostile = onnx.load(model / "model.onnx")
    weights = max(hostile.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=place)
    (model / "model.onnx").write_bytes(hostile.SerializeToString())
    with pytest.raises(ModelUnusable) as refused:
        built(model)
    assert place in refused.value.detail, refused.value.detail


def test_a_precision_that_the_file_does_not_have_is_refused():
    with pytest.raises(ModelUnusable, match="The site says int8, but the file computes in f32"):
        built(MODEL, precision="int8")


def request(model, **changes):
    fields = {
        "model": model,
        "stages": some_stages(),
        "engine": "onnxruntime",
        "engine_version": "1.32.0",
        "precision": "f32",
    }
    return GoldenRequest(**(fields | changes))


def content(model):
    return {p.name: p.read_bytes() for p in (model / "golden").iterdir()}


def test_goldens_made_again_are_the_same_bytes(model):
    first = complete_goldens(request(model))
    once = content(model)
    assert complete_goldens(request(model)) == first
    assert content(model) == once
    assert all(case.variant and case.fp32 for case in first.cases)
    assert {case.level for case in first.cases} == {"tensor", "encoded"}


def test_encoded_goldens_show_every_class():
    cases = golden.decode((MODEL / golden.INDEX_PATH).read_bytes()).cases
    assert {c.label for c in cases if c.level == "encoded"} == {str(n) for n in range(10)}


def test_a_broken_model_gets_no_goldens_and_nothing_is_written(model, tmp_path):
    broken = break_model(model, tmp_path / "broken", nan_weights)
    before = content(broken)
    with pytest.raises(ModelUnusable, match=r"does not pass its own goldens: .* is not finite"):
        complete_goldens(request(broken))
    assert content(broken) == before


def test_another_preprocessing_is_noticed_by_the_encoded_cases(model):
    stages = some_stages()
    stages["preprocess"] = [
        s | {"mean": [0.0], "std": [1.0]} if s["kind"] == "normalise" else s
        for s in stages["preprocess"]
    ]
    with pytest.raises(ModelUnusable, match="encoded-"):
        complete_goldens(request(model, stages=stages))


def test_a_model_can_be_its_own_reference_where_there_is_no_other(model):
    index = golden.decode((model / golden.INDEX_PATH).read_bytes())
    found = complete_goldens(request(model, role="fp32"))
    assert [c.name for c in found.cases] == [c.name for c in index.cases]
    assert all(c.fp32[0].path.endswith(".fp32.bin") for c in found.cases)


def test_a_runtime_that_refuses_the_model_is_quoted(model):
    (model / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelUnusable, match=r"The runtime refuses it: .*not an ONNX file"):
        complete_goldens(request(model))


def test_goldens_without_cases_say_what_is_missing(model):
    (model / golden.INDEX_PATH).unlink()
    with pytest.raises(ModelUnusable, match="no golden cases to complete"):
        complete_goldens(request(model))


def test_building_needs_neither_numpy_nor_an_engine_on_the_controller():
    script = (
        "import sys\n"
        "for name in ('numpy', 'onnxruntime', 'onnx', 'PIL'):\n"
        "    sys.modules[name] = None\n"
        "import edgeform.build.closure, edgeform.build.goldens\n"
        "from edgeform.build.model import model_artifact\n"
        "from pathlib import Path\n"
        "print(model_artifact(Path(sys.argv[1]), 'digits', '1.0.0', 'onnx-f32').digest)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", script, str(MODEL)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == built(MODEL).digest
