"""Drift references, made through the real preprocessing in the real runtime; and replays compared."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.runtime import MODEL, PREPROCESS, some_stages

from edgeform.build.failure import ModelUnusable
from edgeform.build.model import model_artifact
from edgeform.build.reference import complete_reference
from edgeform.build.replay import Answer, Verdict, compare
from edgeform_device.control import RawTensor
from edgeform_wire import canonical, reference


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(MODEL, tmp_path / "model")


def pictures(folder, count, mean=120):
    folder.mkdir()
    chance = np.random.default_rng(3)
    for n in range(count):
        pixels = chance.normal(mean, 20, (48, 64, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:03d}.png")
    return folder


def test_a_reference_is_written_beside_the_model_and_signed_with_it(model, tmp_path):
    inputs = pictures(tmp_path / "inputs", 60)
    found = complete_reference(model, inputs, engine="onnxruntime", stages=some_stages())
    assert found.inputs == 60
    assert [f.name for f in found.features] == ["mean", "spread"]
    assert found.preprocess_digest == canonical.digest_of(PREPROCESS)
    assert reference.decode((model / reference.PATH).read_bytes()) == found
    made = model_artifact(model, "digits", "1.0.0", "onnx-f32")
    assert reference.PATH in {file.path for file in made.files}
    (model / reference.PATH).write_bytes(b"{}")
    with pytest.raises(ModelUnusable, match="drift reference is damaged"):
        model_artifact(model, "digits", "1.0.0", "onnx-f32")


def test_too_few_or_broken_inputs_make_none(model, tmp_path):
    few = pictures(tmp_path / "few", 3)
    with pytest.raises(ModelUnusable, match="50 are the least"):
        complete_reference(model, few, engine="onnxruntime", stages=some_stages())
    (few / "000.png").write_bytes(b"no picture")
    with pytest.raises(ModelUnusable, match="refuses an input"):
        complete_reference(model, few, engine="onnxruntime", stages=some_stages())
    assert not (model / reference.PATH).exists()


def an_answer(values=(1.0, 2.0, 5.0), label="a", digest="x", **changes):
    content = np.asarray(values, "<f4").tobytes()
    base = Answer(
        outputs=(RawTensor("y", "float32", (1, len(values)), content),),
        result={"classes": [{"label": label}]},
        tensor_digest=digest,
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("now", "is_same_model", "verdict", "same_input"),
    [
        (an_answer(), True, Verdict.IDENTICAL, True),
        (an_answer(label="b"), True, Verdict.DIFFERENT, True),
        (an_answer((1.0, 2.0, 5.00001)), True, Verdict.CLOSE, True),
        (an_answer((1.0, 2.0, 5.1)), True, Verdict.DIFFERENT, True),
        (an_answer((1.0, 2.0, 5.1), digest="other"), True, Verdict.DIFFERENT, False),
        (an_answer((1.0, 2.0, float("nan"))), True, Verdict.DIFFERENT, True),
        (an_answer((1.0, 2.0)), True, Verdict.DIFFERENT, True),
        (an_answer((1.0, 2.0)), False, Verdict.CLOSE, True),
        (an_answer((1.0, 2.0), label="b"), False, Verdict.DIFFERENT, True),
        (an_answer(digest=""), True, Verdict.IDENTICAL, None),
        (Answer(error="frame cannot be decoded"), True, Verdict.FAILED, None),
    ],
)
def test_an_answer_is_held_against_the_recorded_one(now, is_same_model, verdict, same_input):
    found = compare(an_answer(), now, precision="f32", is_same_model=is_same_model)
    assert (found.verdict, found.is_input_same) == (verdict, same_input)
