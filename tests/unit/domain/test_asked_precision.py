"""What an engine is asked for, of what the class chose and what the model is written in."""

import pytest

from edgeform.domain.hardware import asked_precision


@pytest.mark.parametrize(
    ("chosen", "written", "asked"),
    [
        ("f32", "", "f32"),
        ("f32", "f16", "f16"),
        ("f32", "bf16", "bf16"),
        ("f16", "f32", "f16"),
        ("bf16", "f16", "bf16"),
        ("f32", "int8", "f32"),
        ("int8", "f16", "int8"),
        ("f16", "int4", "f16"),
    ],
)
def test_the_narrower_float_is_asked_for_and_integers_say_nothing(chosen, written, asked):
    assert asked_precision(chosen, written) == asked
