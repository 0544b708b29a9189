"""The pure judge on recorded answers: what it lets pass, what it turns down, and what it leaves open."""

import struct
from dataclasses import replace

import pytest

from edgeform_device import judge
from edgeform_device.control import Inference, RawTensor
from edgeform_device.judge import Window

REFERENCE = [0.1, 0.2, 0.9, -0.4]


def a_tensor(values, name="y", shape=None):
    content = struct.pack(f"<{len(values)}f", *values)
    return RawTensor(name, "float32", shape or (1, len(values)), content)


def an_answer(values, **changes):
    return replace(Inference((a_tensor(values),), None), **changes)


def a_case(variant=REFERENCE, fp32=REFERENCE, label=None):
    def of(values):
        return () if values is None else (a_tensor(values),)

    return judge.Case("case", of(variant), of(fp32), label)


def sentences(answer, case=None, precision="f32"):
    return " / ".join(judge.judge_case(precision, case or a_case(), answer).failures)


def test_an_answer_within_the_tolerance_has_no_failure():
    found = judge.judge_case("f32", a_case(), an_answer([v + 1e-7 for v in REFERENCE]))
    assert found.failures == ()
    assert 0 < found.max_relative < 1e-5
    assert found.top1_asked == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.1, float("nan"), 0.9, -0.4], "not finite"),
        ([0.1, float("inf"), 0.9, -0.4], "not finite"),
        ([0.5] * 4, "constant"),
        ([0.9, 0.2, 0.1, -0.4], "the best class is another one"),
        ([1.01 * v for v in REFERENCE], "deviates by"),
    ],
)
def test_a_wrong_answer_is_named_by_what_is_wrong_with_it(values, words):
    assert words in sentences(an_answer(values))


def test_a_missing_output_and_one_of_another_shape_are_told_apart():
    assert "missing" in sentences(Inference((), None))
    other = Inference((a_tensor(REFERENCE, shape=(4,)),), None)
    assert "is [4] float32, not [1, 4] float32" in sentences(other)


def test_an_input_that_is_not_finite_fails_however_plausible_the_answer_is():
    """An INT8 network turns NaN into ordinary numbers (measured: research of the 2026-11-22)."""
    given = (a_tensor([0.0, float("nan")], name="image"),)
    said = sentences(an_answer(REFERENCE, inputs=given))
    assert said == "input 'image' is not finite"
    assert judge.judge_inputs(given) == ("input 'image' is not finite",)


def test_a_pipeline_that_makes_no_result_of_right_tensors_fails():
    assert "no result" in sentences(an_answer(REFERENCE, result_error="no boxes"))


@pytest.mark.parametrize(
    ("margin", "is_asked"), [(0.5, True), (0.9e-5, False)], ids=["clear", "near tie"]
)
def test_the_best_class_is_asked_only_where_the_margin_exceeds_the_tolerance(margin, is_asked):
    reference = [0.0, 1.0 - margin, 1.0]
    swapped = [0.0, 1.0, 1.0 - margin]
    said = sentences(an_answer(swapped), a_case(reference, None))
    assert ("best class" in said) is is_asked


@pytest.mark.parametrize("precision", sorted(judge.TIGHT))
def test_the_variants_own_answer_is_held_to_a_tighter_limit_than_the_reference(precision):
    most = judge.TIGHT[precision][0] * (max(REFERENCE) - min(REFERENCE))
    off = [REFERENCE[0] + 1.2 * most, *REFERENCE[1:]]
    assert "deviates" in sentences(an_answer(off), a_case(REFERENCE, None), precision)
    assert "deviates" not in sentences(an_answer(off), a_case(None, REFERENCE), precision)


def test_a_wrong_label_fails_although_the_tensors_are_right():
    answer = an_answer(REFERENCE, result={"kind": "classify", "classes": [{"label": "two"}]})
    assert "says 'two', the reference says 'three'" in sentences(answer, a_case(label="three"))


def repeated(*answers, is_cpu=True):
    return judge.judge_repeat("f32", [an_answer(list(a)) for a in answers], is_cpu=is_cpu)


def test_the_same_input_must_give_the_same_bits_on_a_cpu():
    last_bit = [REFERENCE[0] + 1e-8, *REFERENCE[1:]]
    assert repeated(REFERENCE, REFERENCE, REFERENCE)[0] == "pass"
    assert repeated(REFERENCE, REFERENCE, last_bit)[0] == "fail"
    assert repeated(REFERENCE, last_bit, is_cpu=False)[0] == "inconclusive"
    far = [v * 1.1 for v in REFERENCE]
    assert repeated(REFERENCE, far, is_cpu=False)[0] == "fail"


@pytest.mark.parametrize(
    ("windows", "verdict"),
    [
        ([Window(9.0, 8.0)], "pass"),
        ([Window(30.0, 20.0), Window(9.0, 20.0)], "pass"),
        ([Window(30.0, 20.0), Window(25.0, 11.0)], "fail"),
        ([Window(30.0, 20.0), Window(25.0, 9.0)], "inconclusive"),
    ],
)
def test_timing_has_three_answers(windows, verdict):
    assert judge.judge_timing(windows, 10.0)[0] == verdict


def test_memory_that_two_models_share_proves_nothing_against_one():
    assert judge.judge_memory(100, 200, is_shared=True)[0] == "pass"
    assert judge.judge_memory(300, 200, is_shared=True)[0] == "inconclusive"
    assert judge.judge_memory(300, 200, is_shared=False)[0] == "fail"


@pytest.mark.parametrize(
    ("grown", "runs", "verdict"),
    [
        (50, 500, "pass"),
        (150, 500, "fail"),
        (150, 20, "fail"),
        (50, 20, "inconclusive"),
        (0, 20, "pass"),
    ],
)
def test_growth_is_judged_by_what_there_was_time_for(grown, runs, verdict):
    assert judge.judge_growth(grown, 100, runs, 500, is_shared=False)[0] == verdict
    assert judge.judge_growth(150, 100, runs, 500, is_shared=True)[0] == "inconclusive"


def pairs(agreeing, differing):
    old = an_answer(REFERENCE)
    other = an_answer(REFERENCE[::-1])
    return [(an_answer(REFERENCE), old)] * agreeing + [(other, old)] * differing


@pytest.mark.parametrize(
    ("now", "before", "answers", "verdict"),
    [
        (Window(10, 8), Window(9, 8), pairs(4, 0), "pass"),
        (Window(20, 18), Window(9, 8), pairs(4, 0), "inconclusive"),
        (Window(20, 8), Window(9, 8), pairs(4, 0), "pass"),
        (Window(10, 8), Window(9, 8), pairs(1, 3), "inconclusive"),
        (Window(10, 8), Window(9, 8), pairs(0, 3), "pass"),
    ],
    ids=["alike", "twice the CPU", "only the wall", "disagrees", "too few to say"],
)
def test_the_generation_before_is_a_measure_and_never_a_verdict_against(
    now, before, answers, verdict
):
    assert judge.judge_comparison(now, before, answers)[0] == verdict
