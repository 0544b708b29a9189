import random

import pytest
from support import tflitefile as written

from edgeform_runtime import tflitefile
from edgeform_runtime.errors import ModelRefused


def test_a_file_says_what_goes_in_and_out_and_how_it_computes():
    found = tflitefile.read(written.probe_model(), "model.tflite")
    assert found.inputs == (("x", "float32", (1, 4)),)
    assert found.outputs == (("y", "float32", (1, 4)),)
    assert (found.precision, found.custom) == ("f32", ())


def test_quantised_tensors_make_it_int8_and_custom_operators_are_named():
    assert tflitefile.read(written.quantised_model(), "q").precision == "int8"
    assert tflitefile.read(written.edgetpu_model(), "e").custom == ("edgetpu-custom-op",)


def test_half_precision_weights_make_it_f16():
    graph = written.Graph(
        tensors=(
            written.Tensor(name="x", shape=(1, 4)),
            written.Tensor(name="w", shape=(4,), type=written.FLOAT16, content=bytes(8)),
            written.Tensor(name="y", shape=(1, 4)),
        ),
        operators=(written.Operator(code=written.ADD, inputs=(0, 1), outputs=(2,)),),
        inputs=(0,),
        outputs=(2,),
    )
    assert tflitefile.read(written.tflite(graph), "f16").precision == "f16"


@pytest.mark.parametrize("model", [written.probe_model, written.quantised_model])
def test_every_cut_is_refused(model):
    content = model()
    for length in range(len(content)):
        try:
            tflitefile.read(content[:length], "cut")
        except ModelRefused:
            continue
        # What is missing is the padding or the last string: nothing that is read.
        assert length > len(content) - 8, length


def test_any_changed_bytes_are_refused_or_read_and_nothing_else_happens():
    content = written.quantised_model()
    random_ = random.Random(4)
    for _ in range(3000):
        changed = bytearray(content)
        for _ in range(random_.randint(1, 6)):
            changed[random_.randrange(len(changed))] = random_.randrange(256)
        try:
            tflitefile.read(bytes(changed), "changed")
        except ModelRefused:
            continue


def test_references_that_lead_nowhere_are_refused():
    for operator in (
        written.Operator(code=written.ADD, inputs=(0, 9), outputs=(1,)),
        written.Operator(code=written.ADD, inputs=(0, -2), outputs=(1,)),
    ):
        graph = written.Graph(
            tensors=(
                written.Tensor(name="x", shape=(1, 4)),
                written.Tensor(name="y", shape=(1, 4)),
            ),
            operators=(operator,),
            inputs=(0,),
            outputs=(1,),
        )
        with pytest.raises(ModelRefused, match="an operator names tensor"):
            tflitefile.read(written.tflite(graph), "wrong")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "model.tflite").symlink_to("/etc/hostname")
    with pytest.raises(ModelRefused, match="not an ordinary file"):
        tflitefile.inspect(str(tmp_path / "model.tflite"))
