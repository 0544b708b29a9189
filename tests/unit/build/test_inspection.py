"""What `model inspect` says of a file: by content, without running it, also when it lies or is cut short."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeform.build.inspection.look import everything_in, inspected


class Evil:
    """Leaves a mark if anybody opens the pickle."""

    def __reduce__(self):
        return (os.system, ("touch ./PWNED",))


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "PWNED").exists()


def a_model(*, domain="", nodes=None):
    weights = numpy_helper.from_array(np.ones((10, 3), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 10])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)
    graph = helper.make_graph(nodes or [node], "g", [x], [y], [weights])
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def with_outside_weights(folder, location="weights.bin"):
    model = a_model()
    (folder / "weights.bin").write_bytes(model.graph.initializer[0].raw_data)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "120")):
        tensor.external_data.add(key=key, value=value)
    return model


def look(folder, content, name="model.onnx"):
    path = folder / name
    path.write_bytes(content)
    return inspected(path)


def whats(found):
    return " | ".join(h.what for h in found.hazards)


def test_an_onnx_file_says_what_it_is(tmp_path):
    found = look(tmp_path, a_model().SerializeToString())
    assert (found.format, found.precision, found.opset) == ("onnx", "f32", "ai.onnx 17")
    assert found.inputs == (("x", "float32", (-1, 10)),)
    assert found.outputs == (("y", "float32", (-1, 3)),)
    assert found.parameters == 30
    assert found.hazards == ()


@pytest.mark.parametrize("name", ["model.bin", "model.txt", "labels", "model.onnx.pkl"])
def test_an_onnx_file_is_known_under_any_name(tmp_path, name):
    assert look(tmp_path, a_model().SerializeToString(), name).format == "onnx"


def test_weights_beside_the_model_are_named_and_fine(tmp_path):
    found = look(tmp_path, with_outside_weights(tmp_path).SerializeToString())
    assert found.external == ("weights.bin",)
    assert found.parameters == 30
    assert not found.is_refused


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "a\\b", "", "./weights.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path, location):
    found = look(tmp_path, with_outside_weights(tmp_path, location).SerializeToString())
    assert found.is_refused
    assert "weights at" in whats(found)


def test_weights_behind_a_link_are_refused(tmp_path):
    model = with_outside_weights(tmp_path)
    (tmp_path / "weights.bin").rename(tmp_path / "elsewhere")
    (tmp_path / "weights.bin").symlink_to("elsewhere")
    assert "a link" in whats(look(tmp_path, model.SerializeToString()))
    (tmp_path / "weights.bin").unlink()
    assert "missing" in whats(look(tmp_path, model.SerializeToString()))


def test_weights_that_end_behind_their_file_and_odd_keys_are_refused(tmp_path):
    model = with_outside_weights(tmp_path)
    model.graph.initializer[0].external_data.add(key="__class__", value="x")
    (tmp_path / "weights.bin").write_bytes(b"short")
    said = whats(look(tmp_path, model.SerializeToString()))
    assert "end behind the file" in said
    assert "__class__" in said


def test_custom_operators_are_named(tmp_path):
    found = look(tmp_path, a_model(domain="com.evil").SerializeToString())
    assert found.is_refused
    assert "com.evil" in whats(found)


def test_a_shape_that_no_memory_holds_is_refused(tmp_path):
    model = a_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40
    assert look(tmp_path, model.SerializeToString()).is_refused


def legacy(value):
    return pickle.dumps(value, protocol=0)


def in_a_zip(value):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(value))
        archive.writestr("model/version", "3")
    return out.getvalue()


PICKLES = {
    "protocol 0": legacy(Evil()),
    "protocol 2": pickle.dumps(Evil(), protocol=2),
    "protocol 4": pickle.dumps(Evil(), protocol=4),
    "protocol 5, harmless": pickle.dumps({"w": [1.0, 2.0]}, protocol=5),
    "compressed": zlib.compress(pickle.dumps(Evil())),
    "PyTorch": in_a_zip(Evil()),
    "cut short": pickle.dumps(Evil(), protocol=4)[:-1],
}


@pytest.mark.parametrize(
    "name", ["model.onnx", "model.pt", "labels.txt", "weights.safetensors", "m.gguf"]
)
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_is_refused_under_any_name(tmp_path, kind, name):
    found = look(tmp_path, PICKLES[kind], name)
    assert found.is_refused
    assert found.format in ("pickle", "pytorch")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"\x7fELF\x02\x01\x01" + b"\0" * 64, "elf"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "hdf5"),
        (b"MZ" + b"\0" * 64, "executable"),
        (b"PK\x03\x04" + b"\0" * 64, "zip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "git-lfs"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><net/>', "xml"),
    ],
)
def test_other_things_that_are_no_models_are_refused(tmp_path, content, form):
    found = look(tmp_path, content, "model.bin")
    assert found.format == form
    assert found.is_refused


@pytest.mark.parametrize(
    "content",
    [b"0\n1\n2\n", b"cat\ndog\n", b"{}", b"(no label)\n", b"I am a text.\n", b"N.", b"\0" * 40],
)
def test_labels_goldens_and_raw_tensors_are_no_hazard(tmp_path, content):
    assert not look(tmp_path, content, "labels.txt").is_refused


def safe(header, data=b""):
    content = json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def test_safetensors_are_counted(tmp_path):
    header = {
        "w": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "__metadata__": {"format": "pt"},
    }
    found = look(tmp_path, safe(header, b"x" * 12), "m.safetensors")
    assert (found.format, found.precision, found.parameters) == ("safetensors", "f16", 6)
    assert found.notes == (("format", "pt"),)
    assert found.hazards == ()


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"w": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 99]}}, b"x" * 12),
        ({"w": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 10]}}, b"x" * 12),
        ({"w": {"dtype": "F16", "shape": [2**40, 2**40], "data_offsets": [0, 12]}}, b"x" * 12),
        ({"w": {"dtype": "F16", "shape": [-2, -3], "data_offsets": [12, 0]}}, b"x" * 12),
        ({"w": 3}, b""),
        ({"w": {"dtype": "F16", "shape": [6], "data_offsets": [0, 12]}}, b"x" * 13),
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path, header, data):
    assert look(tmp_path, safe(header, data), "m.safetensors").is_refused


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def a_gguf(*, keys=(), tensors=(), version=3):
    body = b"".join(text(k) + struct.pack("<I", 8) + text(v) for k, v in keys)
    for name, shape, kind in tensors:
        body += text(name) + struct.pack("<I", len(shape))
        body += b"".join(struct.pack("<Q", extent) for extent in shape)
        body += struct.pack("<IQ", kind, 0)
    return b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + body


def test_a_gguf_says_its_architecture_and_its_template(tmp_path):
    content = a_gguf(
        keys=[("general.architecture", "llama"), ("tokenizer.chat_template", "{{ x.__class__ }}")],
        tensors=[("w", (4, 8), 2), ("b", (8,), 0)],
    )
    found = look(tmp_path, content, "m.gguf")
    assert (found.format, found.precision, found.parameters) == ("gguf", "f32, q4_0", 40)
    assert ("general.architecture", "llama") in found.notes
    assert whats(found) == "tokenizer.chat_template"
    assert not found.is_refused


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62),
        b"GGUF" + struct.pack("<IQQ", 99, 0, 0),
        a_gguf(keys=[("a", "b")])[:-1],
        a_gguf(tensors=[("w", (1,) * 9, 0)]),
    ],
)
def test_a_gguf_that_lies_is_refused(tmp_path, content):
    assert look(tmp_path, content, "m.gguf").is_refused


def test_links_and_pipes_are_seen_and_not_followed(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.onnx").symlink_to("/etc/passwd")
    (tmp_path / "model" / "sub").symlink_to("/etc")
    os.mkfifo(tmp_path / "model" / "pipe")
    found = dict(everything_in(tmp_path / "model"))
    assert sorted(found) == ["a.onnx", "pipe", "sub"]
    assert all(value.is_refused for value in found.values())


@pytest.mark.parametrize("name", ["a.tflite", "a.hef", "a.gguf", "a.safetensors", "a.onnx"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name):
    assert look(tmp_path, b"hello, this is a text", name).is_refused


WHOLE = {
    "onnx": a_model().SerializeToString(),
    "gguf": a_gguf(keys=[("a", "b")], tensors=[("w", (4, 8), 2)]),
    "safetensors": safe({"w": {"dtype": "F16", "shape": [6], "data_offsets": [0, 12]}}, b"x" * 12),
}


@pytest.mark.parametrize("form", WHOLE)
def test_every_file_cut_short_is_an_answer_and_never_an_exception(tmp_path, form):
    whole = WHOLE[form]
    for end in range(len(whole)):
        look(tmp_path, whole[:end], f"m.{form}")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_flipped_bytes_are_an_answer_and_never_an_exception(form, data):
    import tempfile
    from pathlib import Path

    content = bytearray(WHOLE[form])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        look(Path(folder), bytes(content), f"m.{form}")


def test_the_checker_of_onnx_agrees_that_the_model_is_one():
    onnx.checker.check_model(a_model())
