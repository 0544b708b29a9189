import pytest
from support import tflitefile

from edgeform.build.failure import ModelUnusable
from edgeform.build.formats import READS, described
from edgeform.domain.hardware import Engine
from edgeform_runtime.engines import NAMES, probe

IR = """<?xml version="1.0"?><net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="1,4" element_type="f32"/>
<output><port id="0" precision="FP32" names="x"><dim>1</dim><dim>-1</dim></port></output></layer>
<layer id="1" name="w" type="Const" version="opset1"><data element_type="{weights}" shape="4"/></layer>
<layer id="2" name="y/sink" type="Result" output_names="y"><input><port id="0" precision="FP32">
<dim>1</dim><dim>4</dim></port></input></layer></layers><edges/></net>"""


def test_there_is_one_list_of_engines():
    assert set(READS) == set(NAMES) == {str(engine) for engine in Engine}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "tensorrt"])
def test_onnx_is_read(tmp_path, engine):
    path = tmp_path / "model.onnx"
    path.write_bytes(probe.ONNX_MODEL)
    found = described(engine, path)
    assert (found.precision, found.inputs) == ("f32", (("x", "float32", (1, 4)),))


@pytest.mark.parametrize("engine", ["litert", "tflite"])
def test_tflite_is_read(tmp_path, engine):
    path = tmp_path / "model.tflite"
    path.write_bytes(tflitefile.quantised_model())
    found = described(engine, path)
    assert (found.precision, found.outputs) == ("int8", (("y", "int8", (1, 4)),))


@pytest.mark.parametrize(("weights", "precision"), [("f32", "f32"), ("f16", "f16"), ("i8", "int8")])
def test_an_openvino_ir_is_read(tmp_path, weights, precision):
    path = tmp_path / "model.xml"
    path.write_text(IR.format(weights=weights))
    path.with_suffix(".bin").write_bytes(b"")
    found = described("openvino", path)
    assert found.precision == precision
    assert found.inputs == (("x", "float32", (1, -1)),)
    assert found.outputs == (("y", "float32", (1, 4)),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<net>", "damaged"),
        ("<html/>", "is not an OpenVINO IR"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><net/>', "declares entities"),
    ],
)
def test_what_is_no_ir_is_refused(tmp_path, text, words):
    path = tmp_path / "model.xml"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelUnusable, match=words):
        described("openvino", path)


def test_an_ir_without_its_weights_is_refused(tmp_path):
    (tmp_path / "model.xml").write_text(IR.format(weights="f32"))
    with pytest.raises(ModelUnusable, match=r"model\.bin is not beside it"):
        described("openvino", tmp_path / "model.xml")


def a_hef(tmp_path, architecture):
    header = b"" if architecture == 0 else bytes([8, architecture])
    message = bytes([10, len(header)]) + header
    path = tmp_path / "model.hef"
    path.write_bytes(b"\x01HEF" + bytes([0, 0, 0, 1, 0, 0, 0, len(message)]) + bytes(16) + message)
    return path


def test_a_hef_for_the_8l_runs_on_both_and_one_for_the_8_does_not_run_on_the_8l(tmp_path):
    path = a_hef(tmp_path, 3)
    assert described("hailort", path, ("hailo-8", "hailo-8l")).architecture == "hailo-8l"
    path = a_hef(tmp_path, 0)
    with pytest.raises(ModelUnusable, match="compiled for hailo-8, which does not run on hailo-8l"):
        described("hailort", path, ("hailo-8l",))


def test_a_file_for_another_engine_is_refused_with_what_this_one_opens(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tflitefile.probe_model())
    with pytest.raises(ModelUnusable, match="no file that onnxruntime opens") as caught:
        described("onnxruntime", path)
    assert ".onnx" in caught.value.hint
