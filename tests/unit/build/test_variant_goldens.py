"""Which samples become goldens: clear ones, where the variant is as near to its source as a device must be."""

import struct

import pytest

from edgeform.build.variant_goldens import comparable, is_near
from edgeform_device.control import RawTensor

SOURCE = (4.0, -2.0, 1.0, 0.5)


def a_tensor(*values, name="logits", dtype="float32"):
    form = {"float32": "f", "int8": "b"}[dtype]
    content = struct.pack(f"<{len(values)}{form}", *values)
    return RawTensor(name, dtype, (1, len(values)), content)


@pytest.mark.parametrize(
    ("off", "precision", "near"),
    [
        (0.0, "f32", True),
        (0.1, "f32", False),
        (0.1, "int8", True),
        (1.5, "int8", False),
        (0.1, "f16", False),
    ],
)
def test_a_sample_is_near_within_the_limits_that_a_device_is_held_to(off, precision, near):
    answer = a_tensor(SOURCE[0], SOURCE[1] + off, *SOURCE[2:])
    assert is_near(precision, (answer,), (a_tensor(*SOURCE),)) == near


def test_an_output_that_a_tool_renamed_is_known_by_its_place():
    renamed = a_tensor(*SOURCE, name="logits_dequantize")
    assert [name for _, name in comparable((a_tensor(*SOURCE),), (renamed,))] == [
        "logits_dequantize"
    ]
    far = a_tensor(SOURCE[0], SOURCE[1] + 1.5, *SOURCE[2:], name="logits_dequantize")
    assert not is_near("int8", (far,), (a_tensor(*SOURCE),))


def test_two_outputs_are_never_taken_for_each_other():
    reference = (a_tensor(1.0, 2.0, name="a"), a_tensor(3.0, 4.0, name="b"))
    swapped = (a_tensor(3.0, 4.0, name="b"), a_tensor(1.0, 2.0, name="a"))
    assert [(t.name, name) for t, name in comparable(reference, swapped)] == [
        ("a", "a"),
        ("b", "b"),
    ]
    fewer = (a_tensor(1.0, 2.0, name="c"),)
    assert not list(comparable(reference, fewer))


def test_integers_at_the_edge_cannot_be_compared_with_the_source():
    integers = a_tensor(100, -50, 25, 12, dtype="int8")
    assert not list(comparable((a_tensor(*SOURCE),), (integers,)))
